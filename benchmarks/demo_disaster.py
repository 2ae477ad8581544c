"""A disaster to watch: requests running, Redis killed, its data wiped, restored from the bucket; the same answers.

Belongs here: one scripted show in a home of its own. Does not belong here: anything the product needs.
"""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

RECO = str(Path(sys.executable).with_name("reco"))
PATIENCE_SECONDS = 120.0


def main() -> int:
    """Shows it; 0 where the answers after are those before."""
    with tempfile.TemporaryDirectory(prefix="reco-disaster-") as folder:
        home = Path(folder) / "home"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        environment = os.environ | {
            "RECO_HOME": str(home),
            "RECO_API_PORT": str(port),
            "DAGSTER_DISABLE_TELEMETRY": "1",
        }
        print("A shop of 5,000 orders is made and published ...")
        reco(environment, "run")
        print("It is backed up ...")
        made = reco(environment, "backup", "create")
        print(f"  {made['backup_id']}: {made['size_bytes'] / 1e6:.1f} MB in {made['seconds']:.1f} s")
        log = (Path(folder) / "api.log").open("wb")
        api = subprocess.Popen([RECO, "serve"], env=environment, stdout=log, stderr=log)
        try:
            return show(environment, home, port)
        finally:
            api.send_signal(signal.SIGINT)
            api.wait(PATIENCE_SECONDS)
            log.close()


def show(environment: dict[str, str], home: Path, port: int) -> int:
    """The disaster and its end."""
    before = wait_for(port, lambda answer: not answer["metadata"]["degraded"])
    print(f"Requests are running; the most popular item is {before['recommendations'][0]['item_name']}.")
    kinds, ended = Counter[str](), threading.Event()
    asking = threading.Thread(target=ask_on, args=(port, kinds, ended))
    asking.start()
    try:
        pid = json.loads((home / "redis" / "endpoint.json").read_text(encoding="utf-8"))["pid"]
        os.kill(pid, signal.SIGKILL)
        shutil.rmtree(home / "redis" / "data", ignore_errors=True)
        print(f"Redis (process {pid}) was killed, and its data are gone.")
        started = time.monotonic()
        done = reco(environment, "backup", "restore", "--redis-only", "--force")
        seconds = time.monotonic() - started
        print(f"Restored snapshot {done['snapshot_id']} from the bucket: {done['redis_keys']:,} keys.")
        after = wait_for(port, lambda answer: not answer["metadata"]["degraded"])
    finally:
        ended.set()
        asking.join()
    same = after["recommendations"] == before["recommendations"]
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    print(f"Requests meanwhile: {told}.")
    print(f"The answers are {'the same' if same else 'OTHERS'}. Recovery time (RTO): {done['rto_seconds']:.1f} s, "
          f"{seconds:.1f} s with the start of the command.")  # fmt: skip
    return 0 if same and done["answers_equal"] else 1


def reco(environment: dict[str, str], *words: str) -> Any:
    """A command's JSON; its errors are shown."""
    done = subprocess.run([RECO, *words, "--json"], env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"reco {' '.join(words)} ended with {done.returncode}: {done.stdout}")
    return json.loads(done.stdout)


def ask(port: int) -> Any:
    """One request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/api/v1/popular-items?limit=10")
        reply = connection.getresponse()
        body = json.loads(reply.read())
    finally:
        connection.close()
    if reply.status != http.client.OK:
        raise OSError(f"status {reply.status}")
    return body


def ask_on(port: int, kinds: Counter[str], ended: threading.Event) -> None:
    """Asks until the end and counts what came."""
    while not ended.wait(0.02):
        try:
            kinds["degraded" if ask(port)["metadata"]["degraded"] else "answered"] += 1
        except OSError:
            kinds["failed"] += 1


def wait_for(port: int, good: Any) -> Any:
    """The first answer that is good."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            answer = ask(port)
            if good(answer):
                return answer
        except OSError:
            pass  # it is not up yet
        time.sleep(0.1)
    raise SystemExit("The API gave no good answer.")


if __name__ == "__main__":
    raise SystemExit(main())
