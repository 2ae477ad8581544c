"""What a person must know of a restore before it is done.

Belongs here: such notes, in sentences with the next step. Does not belong here: what makes a restore impossible, which
is refused (`reco.backup.restore`).
"""

from collections.abc import Sequence

from reco import __version__
from reco.backup.manifest import Manifest
from reco.backup.moments import Moment
from reco.backup.vault import Vault


def plan_notes(vault: Vault, manifest: Manifest, moment: Moment | None, *, named: bool) -> tuple[str, ...]:
    """The notes on a plan.

    Args:
        vault: the backups.
        manifest: the one that was chosen.
        moment: the state it leads to, where that is one between two backups.
        named: a person chose the backup.
    """
    bad = _known_bad(vault, manifest, moment, named=named)
    return (*bad, *_unread_trails(moment), *_other_version(manifest, moment))


def _known_bad(vault: Vault, manifest: Manifest, moment: Moment | None, *, named: bool) -> list[str]:
    listed = vault.list()
    bad = vault.standing(listed).backups
    over = moment.passed_over if moment is not None else ()
    if moment is None and not named:
        over = tuple(one.backup_id for one in listed if one.good and manifest.backup_id < one.backup_id)
    notes = []
    if over:
        notes.append(f"Passed over, since a check or a drill found them bad: {', '.join(over)} (`reco backup list`).")
    if manifest.backup_id in bad:
        notes.append(
            f"A check or a drill found backup {manifest.backup_id} bad (`reco backup list` says how): the restore "
            "refuses what is damaged. Try `--replica` too."
        )
    if moment is None and not named:
        notes += _out_of_order(vault, [one.manifest for one in listed if one.manifest and one.good], manifest)
    return notes


def _out_of_order(vault: Vault, good: Sequence[Manifest], manifest: Manifest) -> list[str]:
    """The newest is the one with the highest number; a later date of another one is for a person to judge."""
    dates = vault.dates()
    made = {one.backup_id: dates.get(one.backup_id, one.created_at) for one in good}
    later = [i for i, at in made.items() if i < manifest.backup_id and at > made[manifest.backup_id]]
    if not later:
        return []
    told = (
        f"By its date backup {later[-1]} is newer than {manifest.backup_id}, whose number is higher: a clock was "
        "wrong, or backups of two buckets were mixed. `--id` takes the other one."
    )
    return [told]


def _unread_trails(moment: Moment | None) -> list[str]:
    if moment is None or not moment.unread:
        return []
    told = (
        f"The trail of {', '.join(moment.unread)} cannot be read, and that of the database in use does not go on from "
        "there: whoever was forgotten by then and not in an earlier backup comes back. Try `--replica`; else forget "
        "them again after the restore (`reco audit forget`)."
    )
    return [told]


def _other_version(manifest: Manifest, moment: Moment | None) -> list[str]:
    """Only what is made anew can come out as another one."""
    if moment is None or moment.event_id is None or moment.version == __version__:
        return []
    told = (
        f"The snapshot of that moment was made by reco {moment.version} and is made anew by this reco {__version__}: "
        "where they differ in it, the restore refuses with nothing changed. Then use reco "
        f"{moment.version}, or restore a whole backup (`--id {manifest.backup_id}`)."
    )
    return [told]
