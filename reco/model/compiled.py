"""Compiled loops: kept as machine code, so that nobody waits for the compiler twice, nor for loading it.

Belongs here: keeping, finding, loading and calling machine code. Does not belong here: compiling (`compiling`, the only
module that imports numba for it), what is compiled (`loops`, `solving`).

Set-up calls `python -m reco.model.compiled`, which compiles into the environment. Code that is missing there, is
damaged, or is for another processor or other sources, is compiled when first needed and kept there or, where that
cannot be written, in a folder of the caller's; where neither can, it serves this process alone. LLVM's linker loads
it, without numba, in some hundredths of a second.
"""

import ctypes
import hashlib
import json
import logging
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from reco.errors import CompilerUnavailable

ENVIRONMENT = Path(sys.prefix) / "share" / "reco" / "compiled"
"""The folder that set-up makes and fills."""

Function = Callable[..., None]
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loop:
    """A function to compile. It returns nothing, allocates nothing and raises nothing.

    name: in its module; arguments: `int64` or `float64`, and `*` after a dtype for an array, which is handed over by
    its address: as long as the function takes it to be.
    """

    name: str
    arguments: tuple[str, ...]


def load(module: str, loops: Sequence[Loop], sources: Sequence[Path], otherwise: Path | None = None) -> list[Function]:
    """The functions, compiled; they run without the interpreter's lock.

    Args:
        module: where they stand. It is imported to compile, and not to load.
        loops: the functions.
        sources: every file with code that is compiled together with them.
        otherwise: a folder to keep the code in where set-up made none.

    Raises:
        CompilerUnavailable: this machine can neither load nor compile them.
    """
    with _compiler_errors():
        name = _name(module, loops, sources)
        folders = [*([ENVIRONMENT] if ENVIRONMENT.is_dir() else []), *([otherwise] if otherwise else [])]
        for folder in folders:
            code = _read(folder / name)
            if code is not None:
                with suppress(RuntimeError):  # code that does not link is as good as damaged
                    return _link(code, loops)
        _LOG.warning("Compiling %s for this machine, which takes some seconds, once.", module)
        from reco.model.compiling import compile_object  # noqa: PLC0415 - imports numba

        code = compile_object(module, loops)
        kept = next((folder for folder in folders if _keep(code, folder / name)), None)
        if kept is not None and kept != ENVIRONMENT:  # which set-up empties
            _remove_others(kept, module, name)
        return _link(code, loops)


def require(module: str, loops: Sequence[Loop], sources: Sequence[Path]) -> None:
    """Asks, without compiling anything, whether functions can be had here; imports numba only where set-up kept none.

    Raises:
        CompilerUnavailable: they cannot.
    """
    with _compiler_errors():
        if _read(ENVIRONMENT / _name(module, loops, sources)) is None:
            from reco.model.compiling import compile_object  # noqa: F401, PLC0415 - imports numba


@contextmanager
def _compiler_errors() -> Iterator[None]:
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        # Numba, LLVM and numpy fail at each other in many ways: versions that do not fit, a library that is missing.
        said = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise CompilerUnavailable(
            f"Loops can be neither loaded nor compiled here: {said}.",
            hint="Install numba and llvmlite of versions that fit this numpy. Without them pairs are sorted; "
            "instead of RECO_SCORE=regression, which needs them, choose RECO_SCORE=powers.",
        ) from error


def _name(module: str, loops: Sequence[Loop], sources: Sequence[Path]) -> str:
    return f"{module}-{_version(loops, sources)}.o"


def _version(loops: Sequence[Loop], sources: Sequence[Path]) -> str:
    """Of what is compiled, by whom and for which processor."""
    llvm = _llvm()
    machine = (llvm.get_process_triple(), llvm.get_host_cpu_name(), host_features())
    content = hashlib.sha256(repr((_llvm_version(), _numba_version(), machine, loops)).encode())
    for source in [Path(__file__).with_name("compiling.py"), *sources]:
        content.update(source.read_bytes())
    return content.hexdigest()[:16]


# ------------------------------------------------------------------------------------------------------------- the file
def _read(path: Path) -> bytes | None:
    """The code of a file, which begins with a line that says its digest; None where it is missing or damaged."""
    try:
        said, _, code = path.read_bytes().partition(b"\n")
        whole = json.loads(said) == _header(code)
    except (OSError, ValueError):
        return None
    return code if whole else None


def _keep(code: bytes, path: Path) -> bool:
    """Whether it could be written: at once, so that nobody reads half of it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as folder:
            file = Path(folder) / path.name
            file.write_bytes(json.dumps(_header(code)).encode() + b"\n" + code)
            file.replace(path)
    except OSError:
        return False
    return True


def _remove_others(folder: Path, module: str, name: str) -> None:
    """Removes code of a module for other versions: a home that outlives many would keep all of it."""
    for path in folder.glob(f"{module}-*.o"):
        if path.name != name:
            with suppress(OSError):  # somebody else's; it costs room and nothing else
                path.unlink(missing_ok=True)


def _header(code: bytes) -> dict[str, Any]:
    return {"size": len(code), "sha256": hashlib.sha256(code).hexdigest()}


# ----------------------------------------------------------------------------------------------------------- the loader
def host_features() -> str:
    """What this processor can do beyond its name, as LLVM writes it; empty where LLVM cannot tell, as in numba."""
    try:
        found: str = _llvm().get_host_cpu_features().flatten()
    except RuntimeError:
        return ""
    return found


@cache
def _llvm() -> Any:
    from llvmlite import binding  # noqa: PLC0415 - for large tables only

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding


def _llvm_version() -> str:
    import llvmlite  # noqa: PLC0415 - as above

    version: str = llvmlite.__version__
    return version


def _numba_version() -> str | None:
    """What is installed, without the half second of importing it; None where it is not."""
    try:
        return version("numba")
    except PackageNotFoundError:
        return None


_kept_loaded: list[Any] = []
"""Code goes from memory with the objects that LLVM gives for it."""


def _link(code: bytes, loops: Sequence[Loop]) -> list[Function]:
    llvm = _llvm()
    linker = llvm.create_lljit_compiler()
    library = llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
    for loop in loops:
        library.export_symbol(loop.name)
    linked = library.link(linker, "reco")
    _kept_loaded.extend((linker, linked))
    return [_callable(linked[loop.name], loop) for loop in loops]


def _callable(address: int, loop: Loop) -> Function:
    kinds = [_KINDS.get(kind, ctypes.c_void_p) for kind in loop.arguments]
    native = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, *kinds)(address)

    def call(*arguments: Any) -> None:
        given = [_handed(one, kind) for one, kind in zip(arguments, loop.arguments, strict=True)]
        returned, raised = ctypes.c_void_p(), ctypes.c_void_p()
        if native(ctypes.byref(returned), ctypes.byref(raised), *given):
            raise RuntimeError(f"{loop.name} raised, which no loop does.")

    return call


_KINDS: dict[str, Any] = {"int64": ctypes.c_int64, "float64": ctypes.c_double}


def _handed(argument: Any, kind: str) -> Any:
    if kind in _KINDS:
        return argument
    if argument.dtype != np.dtype(kind[:-1]) or not argument.flags.c_contiguous:
        raise TypeError(f"an array of {argument.dtype} is no contiguous one of {kind[:-1]}")
    return argument.ctypes.data


def main() -> int:
    """Compiles everything into the environment, in place of what earlier versions left there; returns the exit code."""
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    ENVIRONMENT.mkdir(parents=True)
    from reco.model import kernel, regression  # noqa: PLC0415 - compile into the folder just made

    logging.getLogger("reco.model.compiled").setLevel(logging.ERROR)  # this is no surprise
    try:
        kernel.try_out()
        regression.try_out()
    except CompilerUnavailable as error:
        sys.stderr.write(f"{error.message}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
