"""What the container of this process may use and uses, as the kernel tells those who are in it.

Belongs here: reading the control group. Does not belong here: what is too much, or whom it is told to.

The files are those of docs.kernel.org/admin-guide/cgroup-v2.html and, for older hosts, cgroup-v1. Outside of a
container they show the whole machine, or a group without bounds: then there is no limit to tell of.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path("/sys/fs/cgroup")
_MICRO, _NANO = 1e-6, 1e-9


@dataclass(frozen=True, slots=True)
class Container:
    """Use and bounds of all processes of a container together.

    memory_bytes: held, without pages of files that were not used lately and can go at any time.
    memory_limit_bytes: above it the kernel ends a process; None: no bound.
    cpu_seconds: processor time used since the container began.
    cores: processors' worth of time it may use; None: no bound.
    """

    memory_bytes: int
    memory_limit_bytes: int | None
    cpu_seconds: float
    cores: float | None


def container(folder: Path = FOLDER, group: str = "") -> Container | None:
    """The container of this process, or of a group that this one sees; None where the kernel does not tell."""
    with suppress(OSError, ValueError, KeyError):
        return _unified(folder / group) if _is_unified(folder) else _divided(folder, group)
    return None


def groups_below(slice_name: str, folder: Path = FOLDER) -> list[str]:
    """The groups of the containers that were started in a slice of this name, wherever it lies; see `container`."""
    root = folder if _is_unified(folder) else folder / "memory"
    found = (path for slice_ in root.rglob(slice_name) for path in slice_.iterdir() if path.is_dir())
    with suppress(OSError):  # one that ends under us is seen by the next look
        return sorted(str(path.relative_to(root)) for path in found)
    return []


def _is_unified(folder: Path) -> bool:
    return (folder / "cgroup.controllers").exists()


def _unified(folder: Path) -> Container:
    """Version 2: one folder, which has no `memory.current` where it is that of the machine."""
    quota, period = _text(folder / "cpu.max").split()
    held = int(_text(folder / "memory.current")) - _numbers(folder / "memory.stat")["inactive_file"]
    limit = _text(folder / "memory.max")
    return Container(
        max(0, held),
        None if limit == "max" else int(limit),
        _numbers(folder / "cpu.stat")["usage_usec"] * _MICRO,
        None if quota == "max" else int(quota) / int(period),
    )


def _divided(folder: Path, group: str) -> Container:
    """Version 1: a folder for each kind of bound; "no bound" is about as much as there are addresses."""
    memory, cpu = folder / "memory" / group, folder / "cpu" / group
    held = int(_text(memory / "memory.usage_in_bytes")) - _numbers(memory / "memory.stat")["total_inactive_file"]
    limit = int(_text(memory / "memory.limit_in_bytes"))
    quota = int(_text(cpu / "cpu.cfs_quota_us"))
    return Container(
        max(0, held),
        limit if limit < 1 << 60 else None,
        int(_text(folder / "cpuacct" / group / "cpuacct.usage")) * _NANO,
        quota / int(_text(cpu / "cpu.cfs_period_us")) if quota > 0 else None,
    )


def _text(path: Path) -> str:
    return path.read_text(encoding="ascii").strip()


def _numbers(path: Path) -> dict[str, int]:
    """A file of lines "name number"."""
    return {name: int(value) for name, value in (line.split() for line in _text(path).splitlines())}
