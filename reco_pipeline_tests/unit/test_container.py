"""Promises of what a container tells of itself: the kernel's files of both versions, and what is made of them."""

import datetime as dt
import json
from pathlib import Path

import dagster as dg
import pytest

from reco.alerts.outbox import Outbox
from reco.container import Container, container
from reco.health import crowded
from reco_pipeline import telling
from resources.home import DatabaseResource, RedisResource, SettingsResource

GIB = 1 << 30
NEW = {
    "cgroup.controllers": "cpu memory pids",
    "memory.current": str(3 * GIB),
    "memory.stat": f"anon {2 * GIB}\nfile {GIB}\ninactive_file {GIB}",
    "memory.max": str(4 * GIB),
    "cpu.stat": "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000",
    "cpu.max": "150000 100000",
}
OLD = {
    "memory/memory.usage_in_bytes": str(3 * GIB),
    "memory/memory.stat": f"cache {GIB}\ninactive_file 0\ntotal_inactive_file {GIB}",
    "memory/memory.limit_in_bytes": str(4 * GIB),
    "cpuacct/cpuacct.usage": "2500000000",
    "cpu/cpu.cfs_quota_us": "150000",
    "cpu/cpu.cfs_period_us": "100000",
}
UNBOUND = {
    "memory.max": "max",
    "cpu.max": "max 100000",
    "memory/memory.limit_in_bytes": "9223372036854771712",
    "cpu/cpu.cfs_quota_us": "-1",
}


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text + "\n")
    return folder


@pytest.mark.parametrize("files", [NEW, OLD], ids=["version 2", "version 1"])
def test_use_and_bounds_are_read(tmp_path: Path, files: dict[str, str]) -> None:
    """Pages that can go are not counted as held; what has no bound has none."""
    assert container(written(tmp_path / "a", files)) == Container(2 * GIB, 4 * GIB, 2.5, 1.5)
    boundless = files | {name: text for name, text in UNBOUND.items() if name in files}
    assert container(written(tmp_path / "b", boundless)) == Container(2 * GIB, None, 2.5, None)


@pytest.mark.parametrize("name", sorted({*NEW, *OLD} - {"cgroup.controllers"}))
def test_a_machine_that_does_not_tell_is_no_container(tmp_path: Path, name: str) -> None:
    """Where a file is missing or says something else, nothing is claimed."""
    files = NEW if name in NEW else OLD
    assert container(written(tmp_path / "a", {**files, name: "?"})) is None
    assert container(written(tmp_path / "b", {one: text for one, text in files.items() if one != name})) is None
    assert container(tmp_path / "nowhere") is None


def test_little_left_is_told_from_seven_tenths_on() -> None:
    """Of the memory and of the processor time; never where there is no bound."""
    assert crowded(Container(70, 100, 0.0, 2.0), 1.4) == []
    assert [one.what for one in crowded(Container(71, 100, 0.0, 2.0), 1.41)] == ["memory_short", "processor_busy"]
    assert crowded(Container(71, None, 0.0, None), 1.41) == []
    assert crowded(Container(0, 100, 0.0, 2.0), None) == []


def test_processor_time_counts_from_one_look_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at the first look, nor after a restart of the container, nor over a moment that may be a peak."""
    noon, cursor = dt.datetime(2026, 3, 4, 12, tzinfo=dt.UTC), None
    told = []
    for minutes, cpu_seconds in ((0, 1000.0), (60, 4000.0), (61, 4100.0), (121, 4200.0), (181, 10.0), (241, 3000.0)):
        monkeypatch.setattr(telling, "container", lambda used=cpu_seconds: Container(0, None, used, 1.0))
        with dg.build_sensor_context(cursor=cursor) as context:
            found = telling._crowded(context, noon + dt.timedelta(minutes=minutes))
            cursor = context.cursor
        told.append([one.what for one in found])
        assert json.loads(cursor or "") == [noon.timestamp() + minutes * 60, cpu_seconds]
    assert told == [[], ["processor_busy"], [], [], [], ["processor_busy"]]


@pytest.mark.parametrize(("profile", "told"), [("production", {"memory_short:runs"}), ("local", set())])
def test_the_hourly_look_tells_of_the_container_in_production(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profile: str, told: set[str]
) -> None:
    """Once, until it is over. On a machine of one's own the container is not one for the runs."""
    monkeypatch.chdir(tmp_path)
    overrides = {"home": str(tmp_path / "home"), "profile": profile, "redis_url": "redis://127.0.0.1:1/0"}
    settings = SettingsResource(overrides=overrides | {"privacy_key": "k" * 32})
    resources = {"database": DatabaseResource(settings=settings), "redis": RedisResource(settings=settings)}
    sensor = telling.protection_sensor()
    for held, expected in ((90, told), (90, told), (10, set())):
        monkeypatch.setattr(telling, "container", lambda held=held: Container(held, 100, 0.0, None))
        with dg.DagsterInstance.ephemeral() as made, dg.build_sensor_context(made, resources=resources) as context:
            sensor(context)
        assert {one for one in Outbox(tmp_path / "home").told() if "short:runs" in one} == expected
