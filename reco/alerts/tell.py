"""Telling an alert: as one structured log event, and to the targets that the settings name.

Belongs here: what an alert is, and the one way of telling it. Does not belong here: when to tell and what led to it,
what waits to be sent (`reco.alerts.outbox`), or how a target is reached (`reco.alerts.targets`).
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import structlog

from reco.alerts.outbox import Outbox
from reco.alerts.targets import open_targets
from reco.errors import ConfigError
from reco.settings import Settings

log = structlog.get_logger(__name__)
TELL_AGAIN = dt.timedelta(hours=24)
"""For how long the same is not told again, where it still stands."""


@dataclass(frozen=True)
class Alert:
    """What a person on duty needs: what happened, to what, why, and the next step.

    page: where the Dagster UI shows it, such as `/runs/ID`; key: what of it is told once, empty: `what` and `subject`;
    good: it tells that something is over, which is no error in the log.
    """

    what: str
    subject: str
    reason: str
    next_step: str
    page: str = ""
    key: str = ""
    good: bool = False

    @property
    def told_as(self) -> str:
        """By which name it is known that this was told."""
        return self.key or f"{self.what}:{self.subject}"


def tell(alert: Alert, settings: Settings, *, now: dt.datetime | None = None) -> bool:
    """Tells an alert, unless the same was told within a day; returns whether it was told. Raises nothing.

    Where there are targets it is written down before it is sent: what cannot be sent now is tried again, by the sensor
    `alerts` or `reco alerts send`. A home that cannot be written to costs that, and not the alert: it is sent at once.
    """
    at = now or dt.datetime.now(dt.UTC)
    told = note([alert], settings, now=at)
    if told:
        send_waiting(settings, now=at)
    return bool(told)


def note(alerts: Iterable[Alert], settings: Settings, *, now: dt.datetime) -> int:
    """As `tell`, of several, which then wait for `send_waiting`: one round for all. Returns how many are new."""
    told, unwritten = 0, []
    for alert in alerts:
        facts = {name: value for name, value in asdict(alert).items() if value and name not in {"what", "key", "good"}}
        waits = message(alert, settings) if settings.alert_targets is not None else None
        try:
            with Outbox(settings.home).first(alert.told_as, at=now, again=TELL_AGAIN, message=waits) as first:
                if first:
                    (log.info if alert.good else log.error)(alert.what, **facts)
        except OSError as error:
            log.error(alert.what, **facts, not_written_down=str(error))  # noqa: TRY400 - the alert is the event, not the trace
            unwritten.append(alert)
            first = True
        if not first:
            log.info("alert_told_before", alert=alert.what, subject=alert.subject)
        told += first
    if unwritten and settings.alert_targets is not None:
        _send_now(unwritten, settings)
    return told


def over(keys: Iterable[str], settings: Settings) -> None:
    """What was told under these names is over: should it come again, it is told again at once."""
    try:
        Outbox(settings.home).forget(keys)
    except OSError as error:
        log.warning("alerts_not_forgotten", reason=str(error))


def send_waiting(settings: Settings, *, now: dt.datetime, due_only: bool = True) -> int:
    """Sends what waits for its target; returns how many alerts reached all of theirs. Raises nothing.

    Only one process of a home sends at a time: where another is at it, nothing is sent here.
    """
    try:
        return Outbox(settings.home).send(open_targets(settings), now=now, due_only=due_only)
    except (OSError, ConfigError) as error:
        log.error("alerts_not_sent", reason=str(error))  # noqa: TRY400 - the reason says all
    except Exception:
        log.exception("alerts_not_sent")  # the boundary: whatever is wrong with telling fails nothing that tells
    return 0


def message(alert: Alert, settings: Settings) -> tuple[str, str]:
    """The title and the text of an alert, for people."""
    base = settings.alert_ui_url or f"http://127.0.0.1:{settings.dagster_port}"
    title = " ".join(f"[{settings.namespace}] {alert.what}: {alert.subject}".split())
    lines = [alert.reason, f"Next: {alert.next_step}", f"{base.rstrip('/')}{alert.page}"]
    return title[:200], "\n".join(line for line in lines if line)


def _send_now(alerts: Sequence[Alert], settings: Settings) -> None:
    """Sends what could not be written down. A target that does not take one is not waited for again."""
    try:
        targets = open_targets(settings)
    except Exception:
        log.exception("alert_lost", alerts=[alert.what for alert in alerts])  # the boundary; they stand in the log
        return
    for target in targets:
        answer = None
        for alert in alerts:
            if answer is None or answer.sent:
                answer = target.send(*message(alert, settings))
            if not answer.sent:
                log.error("alert_lost", target=target.name, alert=alert.what, answer=answer.said)
