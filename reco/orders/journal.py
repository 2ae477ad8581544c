"""The plan of forgetting a customer, and the journal by which a killed one is taken up again.

Belongs here: what is to be done, and keeping it on disk until it is done. Does not belong here: doing it
(`reco.orders.forget`).

The journal holds the customer's id while the work is going on, readable by the owner alone, and is gone afterwards.
"""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from reco.storage.lake import fsync_folder

JOURNAL = "forgetting.json"


@dataclass(frozen=True)
class Plan:
    """What forgetting a customer touches.

    operation: names it in the trail; name: what takes the id's place; source: only drops of this
    profile, None: of all; remove_raw: files as they came go too; lines, others: rows by drop key; before: sha256 of
    their parts; raw: drops whose files as they came go; replaced: sha256 of the parts of `replaced_orders` that change.
    """

    operation: str
    customer: str
    name: str
    source: str | None
    remove_raw: bool
    lines: dict[str, int]
    others: dict[str, int]
    before: dict[str, dict[str, str]]
    raw: list[str] = field(default_factory=list)
    replaced: dict[str, str] = field(default_factory=dict)

    @property
    def keys(self) -> list[str]:
        """The drops whose lines it changes, sorted."""
        return sorted(self.lines.keys() | self.others.keys())

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.keys and not self.raw


def journal_of(home: Path) -> Path:
    """Where the journal of a home stands while a customer is being forgotten."""
    return home / "keys" / JOURNAL


def read_journal(home: Path) -> Plan | None:
    """The plan that was begun and did not end; None where there is none."""
    try:
        return Plan(**json.loads(journal_of(home).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def write_journal(home: Path, plan: Plan) -> None:
    """Keeps a plan, whole or not at all, before anything of it is done."""
    path = journal_of(home)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        json.dump(asdict(plan), out)
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(path)
    fsync_folder(path.parent)
