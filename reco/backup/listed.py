"""The list of backups: each with its manifest, or with what is wrong with it.

Belongs here: one of the list, and what a list without a good one means. Does not belong here: reading it (`vault`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from reco.backup.manifest import NOT_OURS, Entry, Manifest
from reco.errors import BackupDamaged, BackupKeyWrong, BackupNotFound, RecoError


@dataclass(frozen=True)
class Listed:
    """A backup in the list: its manifest, or what is wrong with it."""

    backup_id: str
    manifest: Manifest | None
    problem: str = ""

    @property
    def good(self) -> bool:
        """Whether it may be restored and counts as good."""
        return self.manifest is not None and self.manifest.good


def none_good(listed: Sequence[Listed], place: str) -> RecoError:
    """Why there is no good backup: who has the wrong key must not take it for a bucket of nothing."""
    if listed and all(one.manifest is None for one in listed):
        wrong_key = NOT_OURS in listed[-1].problem
        return (BackupKeyWrong if wrong_key else BackupDamaged)(
            f"None of the {len(listed)} backups in {place} can be read. {listed[-1].problem}",
            hint="Give the identity that opens them (RECO_BACKUP_IDENTITY_FILE), or its recipient; `reco backup list` "
            "says what is wrong with each.",
        )
    if any(one.good for one in listed):
        return BackupNotFound(
            f"There is no good backup in {place}: a check or a drill found something against each.",
            hint="`reco backup list` shows them. `reco backup verify` reads the newest once more, which clears what is "
            "right by now; what is damaged the next `reco backup create` sends anew.",
        )
    return BackupNotFound(
        f"There is no good backup in {place}.",
        hint="Make one with `reco backup create`. `reco backup list` shows what there is, with --replica what the "
        "second bucket has.",
    )


def shared(manifest: Manifest, entries: dict[Entry, Entry], ids: dict[str, str]) -> Manifest:
    """The same manifest, of what earlier ones have in common with it."""
    return replace(
        manifest,
        entries=tuple(entries.setdefault(one, one) for one in manifest.entries),
        predecessors=tuple(ids.setdefault(one, one) for one in manifest.predecessors),
    )
