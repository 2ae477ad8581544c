"""Where compiled code is kept, so that nobody waits for the compiler twice.

Belongs here: choosing the folder of compiled functions, and compiling into it. Does not belong here: what is compiled
(`kernel`).

Set-up calls `python -m reco.model.compiled`, which compiles into the environment; that may be read-only afterwards.
Without it a folder of the caller's takes the code, and where that cannot be written either, it is kept for this process
alone. A folder is named by all sources that are compiled together, for numba looks at the outermost function's only.
"""

import atexit
import hashlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ENVIRONMENT = Path(sys.prefix) / "share" / "reco" / "compiled"
"""The folder that set-up makes and fills."""

Function = Callable[..., Any]


def compile_functions(
    functions: Sequence[Function], sources: Sequence[Path], otherwise: Path | None = None
) -> list[Function]:
    """Functions that are compiled when they are first called, or loaded where they were compiled before.

    Args:
        functions: plain functions in the Python that numba understands; they run without the interpreter's lock.
        sources: every file with code that is compiled together with them.
        otherwise: a folder to keep the code in where set-up made none.
    """
    import numba  # noqa: PLC0415 - takes half a second, for large tables only

    options: Any = numba.config
    content = hashlib.sha256(f"{numba.__version__} {sys.version}".encode())
    for source in sources:
        content.update(source.read_bytes())
    before = options.CACHE_DIR
    options.CACHE_DIR = str(_folder(content.hexdigest()[:16], otherwise))
    try:
        return [numba.njit(nogil=True, cache=True)(function) for function in functions]
    finally:
        options.CACHE_DIR = before


def _folder(version: str, otherwise: Path | None) -> Path:
    """The first folder that can be written, filled with what set-up compiled."""
    ready = ENVIRONMENT / version
    folders = [*([ready] if ENVIRONMENT.is_dir() else []), *([otherwise / version] if otherwise else [])]
    folder = next(filter(_writable, folders), None)
    if folder is None:
        folder = Path(tempfile.mkdtemp(prefix="reco-compiled-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if folder != ready and ready.is_dir() and not any(folder.iterdir()):
        shutil.copytree(ready, folder, dirs_exist_ok=True)
    return folder


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def main() -> None:
    """Compiles everything into the environment, in place of what earlier versions left there."""
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    ENVIRONMENT.mkdir(parents=True)
    from reco.model import kernel, regression  # noqa: PLC0415 - compile into the folder just made

    kernel.try_out()
    regression.try_out()


if __name__ == "__main__":
    main()
