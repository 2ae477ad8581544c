"""Promises of how a process starts and ends: nothing that a normal end does is missing but the freeing of objects."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _process(main: str) -> subprocess.CompletedProcess[str]:
    """A process that is all `main`, which is the body of a function."""
    body = "\n".join(f"    {line}" for line in main.splitlines())
    imports = "import atexit, os, sys, threading\nfrom reco.lean import run_process\n"
    program = f"{imports}def main():\n{body}\nrun_process(main)"
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("code", [0, 3])
def test_a_process_ends_with_the_code_of_its_main(code: int) -> None:
    """And all that was printed is out, however long."""
    done = _process(f"print('x' * 200_000)\nprint('told', file=sys.stderr)\nreturn {code}")
    assert (done.returncode, len(done.stdout), done.stderr) == (code, 200_001, "told\n")


def test_a_process_without_streams_ends_as_any_other() -> None:
    """Started with its output closed: with its code, and without a trace."""
    program = "from reco.lean import run_process\nrun_process(lambda: 3)"
    command = ["sh", "-c", 'exec "$0" -c "$1" >&-', sys.executable, program]
    done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (3, "")


def test_threads_are_waited_for_and_handlers_run() -> None:
    """A thread that still works ends its work, and what was registered for the end happens after it."""
    done = _process(
        "atexit.register(lambda: print('handler'))\n"
        "go = threading.Event()\n"
        "threading.Thread(target=lambda: (go.wait(), print('thread'))).start()\n"
        "go.set()\n"
        "return 0"
    )
    assert (done.returncode, done.stdout) == (0, "thread\nhandler\n")


def test_an_error_is_told_as_by_python() -> None:
    """With its trace and exit code 1; an exit from within keeps its code."""
    failed = _process("raise ValueError('so')")
    assert failed.returncode == 1
    assert "ValueError: so" in failed.stderr
    assert _process("sys.exit(7)").returncode == 7


def test_objects_are_not_freed_one_by_one() -> None:
    """What only the freeing of an object would say is not said."""
    kept = "class Told:\n    def __del__(self): os.write(1, b'freed')\nmain.kept = Told()\nreturn 0"
    assert _process(kept).stdout == ""


def test_a_setting_of_the_user_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads of libraries are one where nobody said how many."""
    monkeypatch.setenv("POLARS_MAX_THREADS", "2")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    names = ("POLARS_MAX_THREADS", "OPENBLAS_NUM_THREADS")
    assert _process(f"print(*(os.environ[name] for name in {names}))\nreturn 0").stdout == "2 1\n"
