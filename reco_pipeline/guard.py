"""The start-up guard: the packages we are about to import are ours.

Belongs here: the check that no other `assets`, `resources` or `reco` hides one of ours. Does not belong here: any
import but the standard library's until the check has passed: it must be cheap and must not itself import a stranger.
See docs/decisions/0001-top-level-packages.md.
"""

import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

OURS = ("reco", "resources", "assets")


def check_top_level_packages() -> None:
    """Makes sure that `reco`, `resources` and `assets` are the packages that lie beside this one.

    Nothing is imported and only names are compared; costs well under a millisecond.

    Raises:
        ShadowedPackageError: one of them is hidden or missing; `details` has `package`, `found` and `expected`.
        ImportError: `reco` itself is the one hidden, so that our own error type cannot be had; the text is the same.
    """
    root = Path(__file__).resolve().parent.parent
    for name in OURS:
        found = _location(name)
        if found != root / name:
            _refuse(name, found, root / name)


def _location(name: str) -> Path | None:
    """The folder (or file) that `import name` uses or would use; None where there is none."""
    module = sys.modules.get(name)
    spec: ModuleSpec | None = module.__spec__ if module is not None else PathFinder.find_spec(name)
    if spec is None:
        return None
    if spec.origin is not None:
        origin = Path(spec.origin).resolve()
        return origin.parent if origin.name == "__init__.py" else origin
    # A folder without `__init__.py`: Python takes it only where no real package of the name is on the path.
    portions = list(spec.submodule_search_locations or ())
    return Path(portions[0]).resolve() if portions else None


def _refuse(name: str, found: Path | None, expected: Path) -> None:
    if found is None:
        message = f"The package `{name}` is missing: {expected} does not exist or is not readable."
        hint = "Install reco-pipeline again (in a checkout: scripts/bootstrap.sh)."
    else:
        message = f"Another package hides our `{name}`: Python found {found}, ours is {expected}."
        hint = (
            f"Python searches {_entry(found)} first: take it out of PYTHONPATH, uninstall the other package, or start "
            "`reco` (not `python -m`) from another folder."
        )
    if name == "reco":
        # Our exceptions live in the very package that cannot be imported.
        raise ImportError(f"{message} {hint}", name=name, path=str(found) if found else None)
    from reco.errors import ShadowedPackageError  # only now known to be ours

    raise ShadowedPackageError(
        message, hint=hint, package=name, found=str(found) if found else None, expected=str(expected)
    )


def _entry(found: Path) -> Path:
    """The entry of `sys.path` a package was found by."""
    return found.parent
