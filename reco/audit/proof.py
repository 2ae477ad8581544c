"""The proof of the audit trail: its chain, the heads noted elsewhere, and the files it names.

Belongs here: the three together, for the command and the report. Does not belong here: each by itself
(`reco.audit.chain`, `reco.audit.stored`), or where heads are noted (`reco_pipeline.proving`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from reco.audit.chain import ChainReport, verify_chain
from reco.audit.stored import FilesReport, compare_files
from reco.storage.lake import Lake


@dataclass(frozen=True, slots=True)
class Proof:
    """What a proof found. heads: noted heads that were looked for; unasked: in words, what it was not held against."""

    chain: ChainReport
    files: FilesReport
    heads: int
    unasked: tuple[str, ...]

    @property
    def problems(self) -> list[str]:
        """In sentences, what is wrong; empty in a sound home."""
        found = [] if self.chain.whole else [f"The audit trail is broken: {self.chain.problem}."]
        return found + [f"A file of the lake is not as the trail says: {one}." for one in self.files.problems]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self.chain) | {
            "whole": self.chain.whole,
            "heads_compared": self.heads,
            "heads_not_compared": list(self.unasked),
            "files_compared": self.files.checked,
            "file_problems": list(self.files.problems),
            "proven": not self.problems,
        }


def prove(engine: sa.Engine, lake: Lake, *, noted: Mapping[str, str], unasked: Sequence[str] = ()) -> Proof:
    """Reads the whole trail and every file it names.

    Args:
        engine: the database.
        lake: the files.
        noted: heads of earlier times by who noted them.
        unasked: places that may have noted some and could not be asked.
    """
    return Proof(verify_chain(engine, noted=noted), compare_files(engine, lake), len(noted), tuple(unasked))
