"""The roles of docker/compose.yaml, run on this machine: the same commands, environments, secrets and health checks.

Belongs here: reading the file, and what stands for a container: another folder for each mounted one, the loopback for
each host, a free port for each port, an account without rights. Does not belong here: any claim.
"""

import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import yaml

from reco.local import conf
from reco_pipeline_tests.shop import ROOT

DOCKER = ROOT / "docker"
PATIENCE_SECONDS = 180.0
NOBODY = pwd.getpwnam("nobody")
HOSTS = ("redis", "postgres", "s3", "code")
WITHOUT = re.compile(r"\$\{\w+:-([^}]*)\}")


def compose() -> dict[str, Any]:
    """The file, with the default of each variable in place."""
    text = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(WITHOUT.sub(r"\1", text))
    return found


def secrets_of(service: Mapping[str, Any]) -> dict[str, str]:
    """Path in the container -> name of the secret."""
    given = [one if isinstance(one, dict) else {"source": one} for one in service.get("secrets", [])]
    return {one.get("target", f"/run/secrets/{one['source']}"): one["source"] for one in given}


class Machine:
    """All roles on this machine, in a folder of its own; `with` ends what was started."""

    def __init__(self, postgres: int, recipients: str) -> None:
        self.services = compose()["services"]
        self.folder = Path(tempfile.mkdtemp(prefix="reco-compose-"))
        self.as_nobody = self._unprivileged()
        self.ports: dict[str, int] = {"5432": postgres}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        subprocess.run(
            [DOCKER / "make-secrets.sh", recipients],
            env={"PATH": os.environ["PATH"], "RECO_SECRETS": str(self.folder / "made")},
            check=True,
            capture_output=True,
        )

    def __enter__(self) -> Self:
        """The machine."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ends every role, the last one first, and removes the folder."""
        for process in reversed(self._running.values()):
            os.killpg(process.pid, signal.SIGTERM)
        for process in reversed(self._running.values()):
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _unprivileged(self) -> list[str]:
        """What makes a command run as `nobody`, without a right but to read; empty where we are not root ourselves."""
        if os.getuid() != 0 or shutil.which("setpriv") is None:
            return []
        self.folder.chmod(0o755)
        # The Python of a person may lie in a closed folder: one capability lets `nobody` read, none lets it write.
        caps = [f"--{kind}=-all,+dac_read_search" for kind in ("inh-caps", "ambient-caps", "bounding-set")]
        return [
            "setpriv",
            f"--reuid={NOBODY.pw_uid}",
            f"--regid={NOBODY.pw_gid}",
            "--clear-groups",
            *caps,
            "--no-new-privs",
        ]

    def _owned(self, path: Path) -> Path:
        if self.as_nobody:
            os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)
        return path

    def folder_of(self, name: str) -> Path:
        """A folder that the role may write to."""
        path = self.folder / name
        path.mkdir(parents=True, exist_ok=True)
        return self._owned(path)

    def here(self, name: str, text: str) -> str:
        """What a word of the file means on this machine."""
        service = self.services[name]
        home = "home" if any(str(one).startswith("home:") for one in service.get("volumes", [])) else f"{name}-home"
        for there, here in (
            ("/opt/reco/docker/", f"{DOCKER}/"),
            ("/opt/reco/redis/", f"{DOCKER}/redis/"),
            ("/run/secrets/", f"{self.folder}/{name}-secrets/"),
            ("/var/lib/reco", str(self.folder_of(home))),
            ("/var/lib/s3", str(self.folder_of("s3"))),
            ("0.0.0.0", "127.0.0.1"),  # noqa: S104 - the other way round
            ("$$", "$"),
        ):
            text = text.replace(there, here)
        text = re.sub(rf"(?<=@|/)({'|'.join(HOSTS)})(?=:\d)", "127.0.0.1", "127.0.0.1" if text in HOSTS else text)
        return re.sub(r"(?<=[=:])\d{4,5}\b|^\d{4,5}$|(?<=-p )\d{4}\b", lambda found: str(self.port(found[0])), text)

    def port(self, there: str) -> int:
        """The port that stands for one of the containers."""
        while there not in self.ports:
            port = conf.choose_port(None)
            if port and port not in self.ports.values():
                self.ports[there] = port
        return self.ports[there]

    def environment(self, name: str) -> dict[str, str]:
        """What the role finds in its environment; nothing of ours but the way to the programs."""
        given = {key: self.here(name, str(value)) for key, value in self.services[name].get("environment", {}).items()}
        programs = f"{Path(sys.executable).parent}:{self.folder / 'programs'}:{os.environ['PATH']}"
        fixed = {"PATH": programs, "PYTHONDONTWRITEBYTECODE": "1", "DAGSTER_DISABLE_TELEMETRY": "1"}
        return fixed | {"PYTHONWARNINGS": "ignore", "TMPDIR": str(self.folder_of(f"{name}-tmp"))} | given

    def place_secrets(self, name: str) -> None:
        """Puts the secrets of a role where it looks for them."""
        for target, source in secrets_of(self.services[name]).items():
            path = Path(self.here(name, target))
            self._owned(self.folder_of(f"{name}-secrets"))
            path.parent.mkdir(exist_ok=True)
            self._owned(path.parent)
            path.unlink(missing_ok=True)
            path.write_text(self.here(name, (self.folder / "made" / source).read_text(encoding="utf-8")))
            path.chmod(0o400)
            self._owned(path)

    def _options(self, name: str, **more: str) -> dict[str, Any]:
        self.place_secrets(name)
        folder = self.folder_of(f"{name}-work")
        return {"env": self.environment(name) | more, "cwd": folder, "stdin": subprocess.DEVNULL}

    def command(self, name: str, words: Sequence[str] | None = None) -> list[str]:
        """The command of a role, through the entry point of its image."""
        service = self.services[name]
        given = [self.here(name, str(word)) for word in words or service.get("command", [])]
        first = [*self._read_only(name), *self.as_nobody]
        if "entrypoint" in service:
            return [*first, *(self.here(name, word) for word in service["entrypoint"]), *given]
        return [*first, sys.executable, str(DOCKER / "start.py"), *given]

    def _read_only(self, name: str) -> list[str]:
        """What makes a volume that is mounted read-only so for a role; needs root."""
        if not self.as_nobody or "home:/var/lib/reco:ro" not in self.services[name].get("volumes", []):
            return []
        home = self.here(name, "/var/lib/reco")
        mount = f'mount --bind {home} {home} && mount -o remount,bind,ro {home} && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", mount, "sh"]

    def start(self, name: str, *options: str, **environment: str) -> None:
        """Starts a role and waits until its own health check passes."""
        with (self.folder / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                [*self.command(name), *options],
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._options(name, **environment),
            )
        self.wait_until_healthy(name)

    def run(self, name: str, *words: str) -> str:
        """A command of a role that ends; what it printed."""
        done = self._call(name, self.command(name, words))
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def _call(self, name: str, command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        options: dict[str, Any] = {"capture_output": True, "text": True, "timeout": PATIENCE_SECONDS}
        return subprocess.run(command, check=False, **options, **self._options(name))

    def probe(self, name: str) -> "subprocess.CompletedProcess[str]":
        """The health check of a role, once."""
        kind, *words = (self.here(name, str(word)) for word in self.services[name]["healthcheck"]["test"])
        words = ["/bin/sh", "-c", *words] if kind == "CMD-SHELL" else words
        return self._call(name, [*self.as_nobody, *words])

    def wait_until_healthy(self, name: str) -> None:
        """Asks until it passes; fails with the log where the role has ended or the patience has."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (found := self.probe(name)).returncode:
            process = self._running.get(name)
            over = (process is not None and process.poll() is not None) or time.monotonic() > deadline
            assert not over, f"{name}: {found.stdout}{found.stderr}\n{self.log(name)}"
            time.sleep(0.5)

    def log(self, name: str) -> str:
        """The end of what a role said."""
        file = self.folder / f"{name}.log"
        return file.read_text(encoding="utf-8", errors="replace")[-3000:] if file.exists() else ""
