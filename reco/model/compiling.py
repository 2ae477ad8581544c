"""Compiling loops with numba into machine code that needs nothing of numba.

Belongs here: from functions to the bytes of an object file. Does not belong here: keeping or loading these
(`compiled`), what is compiled (`loops`, `solving`). Importing this module imports numba, which takes half a second.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numba
from llvmlite import binding

from reco.model.compiled import Loop, host_features

_FROM_C = {"memset", "memcpy", "memmove", "sqrt"}
"""Functions that every process has; the root is exact by IEEE 754."""
_BARE: Any = numba.njit
"""Its types do not know the options that leave the wrappers for Python away."""


def compile_object(module: str, loops: Sequence[Loop]) -> bytes:
    """The object file of some functions of a module, for this machine's processor.

    Each takes two addresses before its arguments, where numba leaves what the function returns and raises, and gives
    back whether it raised. These return and raise nothing: a division by zero is that of IEEE 754.

    Raises:
        RuntimeError: a function needs something that numba alone has, so it allocates, raises or calls Python.
    """
    parts = [_compile(getattr(import_module(module), loop.name), loop) for loop in loops]
    whole = parts[0]
    for part in parts[1:]:
        whole.link_in(part)
    target = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(), features=host_features(), opt=3, reloc="pic"
    )
    made: bytes = target.emit_object(whole)
    return made


def _compile(function: Any, loop: Loop) -> Any:
    kinds = ", ".join(f"CPointer({kind[:-1]})" if kind.endswith("*") else kind for kind in loop.arguments)
    alone = _BARE(f"void({kinds})", error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)
    (types,) = alone.signatures
    part = binding.parse_assembly(alone.inspect_llvm(types))
    part.get_function(alone.overloads[types].fndesc.llvm_func_name).name = loop.name
    foreign = [one.name for one in (*part.functions, *part.global_variables) if one.is_declaration]
    foreign = [name for name in foreign if not name.startswith("llvm.") and name not in _FROM_C]
    if foreign:
        raise RuntimeError(f"{loop.name} needs {', '.join(foreign)}: it must not allocate, raise or call Python.")
    return part
