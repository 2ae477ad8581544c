"""One examination and what it found, as `reco doctor` and `reco config check` show it.

Belongs here: its form. Does not belong here: any examination.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One examination: `next_step` is empty where there is nothing to do."""

    what: str
    ok: bool
    found: str
    next_step: str = ""
