"""Promises of docker/roles.py: it finds each role by the slice that compose.yaml names, and tells what it uses."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from reco.container import groups_below
from reco_pipeline_tests.compose import DOCKER, compose
from reco_pipeline_tests.unit.test_container import GIB, NEW, OLD, UNBOUND, written

SERVICES = compose()["services"]
RULES = (DOCKER / "prometheus" / "rules.yml").read_text(encoding="utf-8")
REDIS = "docker-0123456789abcdef.scope"


@pytest.fixture(scope="module")
def program() -> ModuleType:
    """The program, as the container runs it."""
    spec = importlib.util.spec_from_file_location("roles", DOCKER / "roles.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def machine(folder: Path, files: dict[str, str], *containers: str) -> Path:
    """The tree of a machine whose containers are these groups."""
    if files is NEW:
        written(folder, {"cgroup.controllers": "cpu memory pids"})
        for one in containers:
            written(folder / one, NEW)
        return folder
    for one in containers:
        written(folder, {f"{name.split('/')[0]}/{one}/{name.split('/')[1]}": text for name, text in OLD.items()})
    return folder


def samples(program: ModuleType, folder: Path, *roles: str) -> dict[tuple[str, ...], float]:
    """Each sample by its name, role and container."""
    families = program.Roles("reco", list(roles), folder).collect()
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


@pytest.mark.parametrize("files", [NEW, OLD], ids=["version 2", "version 1"])
@pytest.mark.parametrize("above", ["", "reco.slice/"], ids=["cgroupfs", "systemd"])
def test_a_role_is_found_wherever_its_slice_lies(
    program: ModuleType, tmp_path: Path, files: dict[str, str], above: str
) -> None:
    """Both kinds of tree, and both of Docker's ways to lay it out; groups of others are not told of."""
    others = ("system.slice/ssh.service", f"{above}reco-redis-2.slice/{REDIS}", f"{above}staging-redis.slice/{REDIS}")
    found = samples(program, machine(tmp_path, files, *others, f"{above}reco-redis.slice/{REDIS}"), "redis", "postgres")
    assert found == {
        ("reco_role_containers", "redis"): 1,
        ("reco_role_containers", "postgres"): 0,
        ("reco_role_memory_bytes", "redis", "0123456789ab"): 2 * GIB,
        ("reco_role_memory_limit_bytes", "redis", "0123456789ab"): 4 * GIB,
        ("reco_role_cpu_seconds_total", "redis", "0123456789ab"): 2.5,
        ("reco_role_cpu_limit_cores", "redis", "0123456789ab"): 1.5,
    }


def test_what_has_no_bound_has_no_sample_of_it(program: ModuleType, tmp_path: Path) -> None:
    """So no rule can fire on it; and a group that ended while it was looked at is none."""
    folder = machine(tmp_path, NEW, f"reco-redis.slice/{REDIS}")
    written(folder / "reco-redis.slice" / REDIS, {"memory.max": UNBOUND["memory.max"], "cpu.max": UNBOUND["cpu.max"]})
    (folder / "reco-redis.slice" / "ending.scope").mkdir()
    names = {name for name, *_ in samples(program, folder, "redis")}
    assert names == {"reco_role_containers", "reco_role_memory_bytes", "reco_role_cpu_seconds_total"}
    assert samples(program, folder, "redis")["reco_role_containers", "redis"] == 1


def test_a_machine_without_groups_shows_no_role(program: ModuleType, tmp_path: Path) -> None:
    """Then each of them counts as unseen, which is told."""
    assert groups_below("reco-redis.slice", tmp_path) == []
    assert samples(program, tmp_path, "redis") == {("reco_role_containers", "redis"): 0}


def test_every_role_is_named_alike(program: ModuleType, tmp_path: Path) -> None:
    """Each role that stays up is in a slice of its name and on the list; the API tells of itself."""
    stays = {name for name, role in SERVICES.items() if "restart" in role and role["restart"] == "unless-stopped"}
    sliced = {name: role["cgroup_parent"] for name, role in SERVICES.items() if "cgroup_parent" in role}
    assert sliced == {name: f"reco-{name}.slice" for name in stays - {"api", "roles"}}
    _, _, project, *listed = SERVICES["roles"]["command"]
    assert (project, set(listed)) == ("reco", set(sliced))
    assert {name for name, role in SERVICES.items() if role.get("cgroup")} == {"roles"}
    assert not SERVICES["roles"].get("volumes")
    assert SERVICES["roles"]["networks"] == ["watch"]
    folder = machine(tmp_path, NEW, f"reco-redis.slice/{REDIS}")
    exported = {name for name, *_ in samples(program, folder, "redis")}
    assert set(re.findall(r"reco_role_\w+", RULES)) == exported
