"""The environments of peers: each apart from ours and from the others, under a folder for caches.

Belongs here: what each needs, making it on request, and saying why one is not there. Does not belong here: what a peer
does (`benchmarks.contenders.peers`).
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PEERS = {
    "implicit": ("implicit==0.7.3",),
    "sparse_dot_topn": ("sparse_dot_topn==1.2.0",),
    "sar": ("recommenders==1.2.1", "numpy<2", "setuptools<81"),
}
"""What is installed for each, by name; from whatever package index pip is configured for."""


@dataclass(frozen=True)
class Peer:
    """A peer: the Python that has it, or why there is none."""

    name: str
    python: Path | None
    why_not: str = ""


def cache_folder() -> Path:
    """Where the environments are kept: RECO_BENCH_CACHE, else a folder among the user's caches."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("RECO_BENCH_CACHE") or Path(base) / "reco-bench")


def find_peer(name: str, *, make: bool) -> Peer:
    """The environment of a peer, made first where that is asked for and it is not there."""
    folder = cache_folder() / f"{name}-{sys.version_info[0]}.{sys.version_info[1]}"
    python, done = folder / "bin" / "python", folder / "ready"
    wanted = " ".join(PEERS[name])
    if done.is_file() and done.read_text(encoding="utf-8") == wanted:
        return Peer(name, python)
    if not make:
        return Peer(name, None, "not installed (--make-peers does)")
    for command in (
        (sys.executable, "-m", "venv", "--clear", str(folder)),
        (str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PEERS[name]),
    ):
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            return Peer(name, None, f"does not install: {(ended.stderr or ended.stdout).strip().splitlines()[-1]}")
    done.write_text(wanted, encoding="utf-8")
    return Peer(name, python)
