"""The one exception tree of the project.

Belongs here: every exception that crosses a package boundary, with its stable code and the exit code the command line
gives it. Does not belong here: how an error is shown to a person.
"""

from typing import Any, ClassVar


class RecoError(Exception):
    """Something went wrong in a way that has a name.

    The message says what happened and to what; `hint` is the next step for the person reading it; `details` holds the
    same facts for machines. `recoverable` tells whether trying again without changing anything can succeed.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    recoverable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "", **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


class UsageError(RecoError):
    """The command was asked for something that does not exist or contradicts itself."""

    code = "usage"
    exit_code = 2


class ConfigError(UsageError):
    """A setting is missing or does not parse; `details["settings"]` names each."""

    code = "config_invalid"


class CompilerUnavailable(UsageError):
    """Compiled loops can be neither loaded nor compiled on this machine."""

    code = "compiler_unavailable"


class ProfileError(UsageError):
    """A source profile is unknown or not valid."""

    code = "profile_invalid"


class ShadowedPackageError(ConfigError):
    """A top-level package of ours is hidden by another one of the same name."""

    code = "package_shadowed"


class KeyNotFound(UsageError):
    """There is no API key of that id."""

    code = "key_not_found"


class ItemNotFound(UsageError):
    """The current snapshot knows no item of that id or name."""

    code = "item_not_found"


class HideNotFound(UsageError):
    """There is no rule of that number."""

    code = "rule_not_found"


class OrderNotFound(UsageError):
    """No order of that id is known, or several sources have one."""

    code = "order_not_found"


class CursorInvalid(UsageError):
    """A cursor is none of ours, or of another question."""

    code = "cursor_invalid"


class CursorExpired(UsageError):
    """A cursor is of a snapshot that is no longer served."""

    code = "cursor_expired"


class FactsMissing(UsageError):
    """A question needs categories, prices, stock or times, and the snapshot has none."""

    code = "facts_missing"


class SnapshotNotFound(UsageError):
    """There is no published snapshot (of that id)."""

    code = "snapshot_not_found"


class SnapshotUnknown(UsageError):
    """There is no snapshot of the id that was asked for."""

    code = "snapshot_unknown"


class DropError(RecoError):
    """A drop cannot be used at all; the other drops of the batch go on."""

    code = "drop_failed"
    exit_code = 3


class DropMissing(DropError):
    """The file of a drop is not there."""

    code = "drop_missing"


class ObjectNotFound(DropMissing):
    """There is no such object in the object store."""

    code = "object_not_found"


class ObjectExists(RecoError):
    """An object is there already with other content, or was changed by someone else."""

    code = "object_exists"


class DropEmpty(DropError):
    """A drop holds no order lines: no bytes, or only a header."""

    code = "drop_empty"


class DropUnreadable(DropError):
    """The bytes of a drop are not text, or its archive is damaged."""

    code = "drop_unreadable"


class DropKnown(DropError):
    """The bytes of a drop were read before in another way, which giving them again does not change."""

    code = "drop_known"


class DropUnmapped(DropError):
    """A drop has no column for the order id or the item."""

    code = "drop_unmapped"


class DropAmbiguous(DropUnmapped):
    """Values of a drop can be read in two ways; `details["questions"]` says which, with the profile lines that answer.

    Each question has `column`, `about` ("dates" or "decimals"), `message`, and `answers`, lines of TOML to choose from.
    """

    code = "drop_ambiguous"


class LedgerBroken(RecoError):
    """Lines read are not lines accepted + excluded + quarantined. Always a defect of ours."""

    code = "ledger_broken"


class LakeError(RecoError):
    """A Parquet file of the lake is missing, damaged or could not be written."""

    code = "lake"


class DependencyUnavailable(RecoError):
    """A server or store we need does not answer."""

    code = "dependency_unavailable"
    exit_code = 4
    recoverable = True


class RedisUnavailable(DependencyUnavailable):
    """Redis does not answer, refuses the password, or cannot take more data."""

    code = "redis_unavailable"


class DatabaseUnavailable(DependencyUnavailable):
    """The SQL database does not answer."""

    code = "database_unavailable"


class OrdersUnavailable(DependencyUnavailable):
    """The orders behind a snapshot cannot be read."""

    code = "orders_unavailable"


class AddressUnavailable(DependencyUnavailable):
    """The address a service of ours should listen on cannot be had."""

    code = "address_unavailable"


class InboxUnavailable(DependencyUnavailable):
    """The inbox cannot be listed."""

    code = "inbox_unavailable"


class ObjectStoreUnavailable(DependencyUnavailable):
    """The object store does not answer."""

    code = "object_store_unavailable"


class ObjectStoreRefused(ConfigError):
    """The object store knows no such bucket or gives these credentials no right."""

    code = "object_store_refused"


class ServiceEnded(RecoError):
    """A process that `reco dev` keeps up ended by itself, or did not come up."""

    code = "service_ended"


class Busy(DependencyUnavailable):
    """Another run or publish of the same home is at work."""

    code = "busy"


class SnapshotDamaged(RecoError):
    """What was read back from Redis is not what was written, or a published value does not parse."""

    code = "snapshot_damaged"


class HistoryMissing(UsageError):
    """The kept files of Redis do not reach the second that was asked for."""

    code = "history_missing"


class HistoryDamaged(RecoError):
    """A kept file of Redis is gone, or is not what it was."""

    code = "history_damaged"


class GateRefused(RecoError):
    """The gate refused to publish a snapshot; `details["checks"]` lists each verdict."""

    code = "gate_refused"
    exit_code = 5


def error_names(root: type[RecoError] = RecoError) -> frozenset[str]:
    """The names of all classes of this tree, or of a part, where only the name of an error's class is known."""
    names, waiting = set(), [root]
    while waiting:
        one = waiting.pop()
        names.add(one.__name__)
        waiting += one.__subclasses__()
    return frozenset(names)


class BackupError(RecoError):
    """A backup could not be made, checked or restored."""

    code = "backup"


class BackupNotFound(UsageError):
    """There is no backup of that id or time."""

    code = "backup_not_found"


class BackupDamaged(BackupError):
    """What the bucket holds is not what a backup wrote; `details` names the object and the reason."""

    code = "backup_damaged"


class BackupKeyWrong(ConfigError):
    """The identity is missing or is none of those a backup was encrypted for."""

    code = "backup_key_wrong"


class RestoreRefused(UsageError):
    """A restore would overwrite something that lives, and was not told to."""

    code = "restore_refused"


class RetentionRefused(BackupError):
    """Nothing is removed, because the clock or the listing cannot be right."""

    code = "retention_refused"


class DrillFailed(BackupError):
    """A backup was restored, and what came of it is not what was backed up; `details["checks"]` lists each verdict."""

    code = "drill_failed"


class ApiProblem(RecoError):
    """The HTTP service refused a question of `reco.client`.

    `status` is that of the answer, 0 where none came; `problem` the problem document; `retry_after` in seconds.
    """

    code = "api_problem"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        status: int = 0,
        problem: dict[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.problem = problem or {}
        self.retry_after = retry_after


class ApiNotFound(ApiProblem):
    """The service knows no such item, order, rule, snapshot or route; `problem["near"]` may name similar items."""

    code = "api_not_found"


class ApiKeyRefused(ApiProblem):
    """The service asks for an API key, for another one, or for one with another scope."""

    code = "api_key_refused"


class ApiLimited(ApiProblem):
    """The key or the address asked the service too often."""

    code = "api_limited"
    recoverable = True


class ApiUnavailable(ApiProblem):
    """The service cannot be reached, or cannot answer now."""

    code = "api_unavailable"
    exit_code = 4
    recoverable = True
