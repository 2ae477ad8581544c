"""What was told, and what waits to be sent: one file of the home, so that it outlives a restart and needs no server.

Belongs here: that file, and when what waits is tried again. Does not belong here: what an alert says
(`reco.alerts.tell`).

An alert is written down before it is sent and taken out once every target has it. One that a target does not take is
tried again after one minute, two, four, up to an hour, for as long as the target is in the settings; nothing is dropped
for its age. A kill between sending and noting it sends once more rather than not at all.
"""

import datetime as dt
import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import structlog

from reco.alerts.targets import Target

log = structlog.get_logger(__name__)
FOLDER = "alerts"
FIRST_PAUSE = dt.timedelta(minutes=1)
LONGEST_PAUSE = dt.timedelta(hours=1)
KEPT_TOLD = dt.timedelta(days=30)
MOST_AT_ONCE = 5


@dataclass
class Waiting:
    """A message that not all targets have: by whom it was taken, how often it was tried, and when it is due again."""

    id: str
    at: str
    title: str
    text: str
    taken_by: list[str] = field(default_factory=list)
    attempts: int = 0
    due_at: str = ""
    answer: str = ""

    @property
    def due(self) -> dt.datetime:
        """When it is tried again."""
        return dt.datetime.fromisoformat(self.due_at or self.at)


@dataclass
class _State:
    told: dict[str, str] = field(default_factory=dict)
    waiting: list[Waiting] = field(default_factory=list)


class Outbox:
    """The alerts of one home. Any method may raise OSError where the home cannot be written to."""

    def __init__(self, home: Path) -> None:
        self._folder = home / FOLDER

    def waiting(self) -> list[Waiting]:
        """What waits, oldest first."""
        return self._read().waiting

    def told(self) -> dict[str, dt.datetime]:
        """What was told lately, and when."""
        return {key: dt.datetime.fromisoformat(at) for key, at in self._read().told.items()}

    @contextmanager
    def first(
        self, key: str, *, at: dt.datetime, again: dt.timedelta, message: tuple[str, str] | None
    ) -> Iterator[bool]:
        """Whether this is to be told now, which the block does: it was not within that time.

        With the block it counts as told, and its message, a title and a text, waits to be sent: both or, after a kill
        before that, neither.
        """
        with self._changed() as state:
            before = state.told.get(key)
            if before is not None and at - dt.datetime.fromisoformat(before) < again:
                yield False
                return
            yield True
            state.told = {k: t for k, t in state.told.items() if at - dt.datetime.fromisoformat(t) < KEPT_TOLD}
            state.told[key] = at.isoformat()
            if message is not None:
                state.waiting.append(Waiting(os.urandom(6).hex(), at.isoformat(), *message))

    def forget(self, keys: Iterable[str]) -> None:
        """These are over: they count as not told."""
        gone = set(keys)
        if gone & self._read().told.keys():
            with self._changed() as state:
                state.told = {key: at for key, at in state.told.items() if key not in gone}

    def send(self, targets: Sequence[Target], *, now: dt.datetime, due_only: bool = True) -> int:
        """Sends what waits; returns how many of the messages every target has now.

        With `due_only` at most five, those first that were tried least: what one target refuses again and again keeps
        none from the others. Otherwise all. A target that does not take one is not waited for again either way.
        """
        if not targets or not (self._folder / "state.json").is_file():
            return 0
        with self._lock("sending", wait=False) as ours:
            if not ours:
                return 0
            chosen = sorted(self.waiting(), key=lambda one: one.attempts)
            if due_only:
                chosen = [one for one in chosen if one.due <= now][:MOST_AT_ONCE]
            silent: set[str] = set()
            for one in chosen:
                self._try(one, targets, silent, now)
                self._note(one, targets)
            return sum(_complete(one, targets) for one in chosen)

    def _try(self, one: Waiting, targets: Sequence[Target], silent: set[str], now: dt.datetime) -> None:
        """Sends one message. A target that did not take the one before is not waited for again in this round."""
        refused = []
        for target in targets:
            if target.key in one.taken_by:
                continue
            if target.key in silent:
                refused.append(f"target {target.name}: not tried, it did not take the alert before this one")
                continue
            answer = target.send(one.title, one.text)
            if answer.sent:
                one.taken_by.append(target.key)
            else:
                silent.add(target.key)
                refused.append(f"target {target.name}: {answer.said}")
        if refused:
            one.attempts, one.answer = one.attempts + 1, "; ".join(refused)
            pause = min(FIRST_PAUSE * 2 ** min(one.attempts - 1, 10), LONGEST_PAUSE)
            one.due_at = (now + pause).isoformat()
            log.error(
                "alert_not_sent", alert=one.title, answer=one.answer, attempts=one.attempts, next_attempt_at=one.due_at
            )

    def _note(self, one: Waiting, targets: Sequence[Target]) -> None:
        with self._changed() as state:
            rest = [other for other in state.waiting if other.id != one.id]
            state.waiting = rest if _complete(one, targets) else sorted([*rest, one], key=lambda other: other.at)

    # ------------------------------------------------------------------------------------------------------ the file
    @contextmanager
    def _changed(self) -> Iterator[_State]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._lock("lock", wait=True):
            state = self._read()
            before = asdict(state)
            yield state
            if asdict(state) == before:
                return
            temporary = self._folder / f".state.{os.getpid()}.tmp"
            with temporary.open("w", encoding="utf-8") as file:
                json.dump(asdict(state), file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._folder / "state.json")

    @contextmanager
    def _lock(self, name: str, *, wait: bool) -> Iterator[bool]:
        with (self._folder / name).open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            yield True

    def _read(self) -> _State:
        path = self._folder / "state.json"
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return _State(dict(found["told"]), [Waiting(**one) for one in found["waiting"]])
        except FileNotFoundError:
            return _State()
        except (ValueError, KeyError, TypeError) as error:
            aside = path.with_name("state.damaged.json")
            path.replace(aside)
            log.error("alerts_file_damaged", file=str(aside), reason=str(error))  # noqa: TRY400 - the file is kept
            return _State()


def _complete(one: Waiting, targets: Sequence[Target]) -> bool:
    return all(target.key in one.taken_by for target in targets)
