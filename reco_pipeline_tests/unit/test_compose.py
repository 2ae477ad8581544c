"""Promises of docker/: what each role is denied, what is published, who gets which secret, and that the parts agree."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from reco.settings import load_settings
from reco_pipeline_tests.compose import DOCKER, compose, secrets_of
from reco_pipeline_tests.shop import ROOT

FILE = compose()
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
ENDS = {"bucket", "tools"}
PAGE = (ROOT / "docs" / "containers.md").read_text(encoding="utf-8")
DOCKERFILE = (DOCKER / "Dockerfile").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SERVICES)
def test_every_role_has_the_least_it_needs(name: str) -> None:
    """No root, no capability, no way to new rights, nothing to write to but volumes, bounds, and a health check."""
    role = SERVICES[name]
    assert role["user"] not in {"", "root", "0"}
    assert role["read_only"] is True
    assert role["cap_drop"] == ["ALL"]
    assert role["security_opt"] == ["no-new-privileges:true"]
    assert {"mem_limit", "cpus", "pids_limit", "logging"} <= role.keys()
    assert ("healthcheck" in role) is (name not in ENDS)
    assert not any("docker.sock" in str(one) for one in role.get("volumes", []))


def test_only_the_loopback_is_published_and_each_port_is_described() -> None:
    """A port that is open to other machines, or that the page does not name, fails here."""
    ports = {name: one for name, role in SERVICES.items() for one in role.get("ports", [])}
    assert sorted(ports) == ["alertmanager", "api", "grafana", "prometheus", "webserver"]
    for name, one in ports.items():
        address, outer, _inner = one.split(":")
        assert address == "127.0.0.1", name
        assert re.search(rf"^\| {outer} \| `{name}` \|", PAGE, re.MULTILINE), name


def test_networks_are_closed_but_one() -> None:
    """The stores have no way out, and the API has none to the backups or to Dagster."""
    assert [name for name, one in FILE["networks"].items() if not one.get("internal")] == ["outside"]
    for name in ("redis", "postgres", "s3"):
        assert "outside" not in SERVICES[name]["networks"]
    assert not {"objects", "dagster"} & set(SERVICES["api"]["networks"])
    assert not {"data", "objects"} & set(SERVICES["webserver"]["networks"])


def test_every_image_has_an_exact_tag() -> None:
    """Neither none nor a moving one; each can be set to a digest."""
    text = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
    for name, role in SERVICES.items():
        assert re.fullmatch(r"[a-z/-]+:(v?\d+\.\d+(\.\d+)?(-[a-z]+)?|local)", role["image"]), name
        assert f":-{role['image']}}}" in text, name
    assert re.search(r"^ARG PYTHON_IMAGE=python:3\.\d+\.\d+-slim-bookworm$", DOCKERFILE, re.MULTILINE)


def test_no_secret_stands_in_the_environment(tmp_path: Path) -> None:
    """Each one is a file that the script makes, once, and each file has somebody who reads it."""
    made = tmp_path / "made"
    call = [str(DOCKER / "make-secrets.sh"), "age1nobody"]
    subprocess.run(call, env={"PATH": "/usr/bin:/bin", "RECO_SECRETS": str(made)}, check=True, capture_output=True)
    before = {path.name: path.read_text() for path in made.iterdir()}
    assert load_settings(alert_targets=before["alert_targets"]).alert_targets is None  # until somebody names one
    named = {name for role in SERVICES.values() for name in secrets_of(role).values()}
    assert before.keys() == named == FILE["secrets"].keys()
    assert made.stat().st_mode & 0o777 == 0o700
    subprocess.run(call, env={"PATH": "/usr/bin:/bin", "RECO_SECRETS": str(made)}, check=True, capture_output=True)
    assert {path.name: path.read_text() for path in made.iterdir()} == before
    for name, role in SERVICES.items():
        for key, value in role.get("environment", {}).items():
            if "/run/secrets/" in str(value):
                assert value in secrets_of(role), f"{name}: {key}"
            assert not re.search(r"PASSWORD$|SECRET$|TOKEN$|_KEY$", key), f"{name}: {key}"


def test_a_file_of_secrets_needs_a_recipient(tmp_path: Path) -> None:
    """Without an age public key nothing is made: backups would open nowhere."""
    environment = {"PATH": "/usr/bin:/bin", "RECO_SECRETS": str(tmp_path / "made")}
    done = subprocess.run([DOCKER / "make-secrets.sh"], env=environment, check=False, capture_output=True, text=True)
    assert (done.returncode, "usage" in done.stderr) == (2, True)
    assert not (tmp_path / "made").exists()


def test_the_image_holds_what_the_roles_call() -> None:
    """Every file of docker/ that a command names is copied, and reaches the build."""
    named = set(re.findall(r"/opt/reco/docker/([\w.]+)", (DOCKER / "compose.yaml").read_text(encoding="utf-8")))
    copied = set(re.findall(r"docker/([\w.]+)", re.search(r"^COPY docker/.*$", DOCKERFILE, re.MULTILINE)[0]))  # type: ignore[index]
    allowed = set((ROOT / ".dockerignore").read_text(encoding="utf-8").split())
    assert named <= copied - {"reco"}
    assert "-m reco.model.compiled" in DOCKERFILE  # so that a run need not compile
    for one in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE):
        for path in one.split():
            assert (ROOT / path).exists()
            assert f"!{path}" in allowed


def test_dagster_remembers_by_the_same_names() -> None:
    """The location has one name in every workspace, and Dagster's settings are those of one machine."""
    workspace = yaml.safe_load((DOCKER / "workspace.yaml").read_text(encoding="utf-8"))
    here = yaml.safe_load((ROOT / "workspace.yaml").read_text(encoding="utf-8"))
    names = [one["load_from"][0] for one in (workspace, here)]
    assert names[0]["grpc_server"]["location_name"] == names[1]["python_module"]["location_name"]
    assert "--location-name" in SERVICES["code"]["command"]
    assert SERVICES["code"]["command"][-1] == names[1]["python_module"]["location_name"]


def dagster_roles() -> set[str]:
    """The roles that work with Dagster's records."""
    return {name for name, role in SERVICES.items() if "dagster_url" in secrets_of(role).values()}


@pytest.mark.parametrize("name", sorted(dagster_roles()))
def test_dagster_finds_its_records_by_our_settings(name: str) -> None:
    """Also what goes around the entry point, a health check or `exec`: its folder is the one that is prepared."""
    environment = SERVICES[name]["environment"]
    assert environment["DAGSTER_HOME"] == f"{environment['RECO_HOME']}/dagster"
    for key in ("RECO_HOME", "DAGSTER_HOME"):  # `docker run` of the image alone
        assert f"{key}={environment[key]} \\\n" in DOCKERFILE
    assert secrets_of(SERVICES[name])[environment["RECO_DAGSTER_DATABASE_URL_FILE"]] == "dagster_url"
    assert not any("start.py" in str(word) for word in SERVICES[name].get("healthcheck", {}).get("test", []))


def start(folder: Path, *command: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """The entry point, with a command; without one, with what shows what the role gets."""
    environment = {"PATH": os.environ["PATH"], "RECO_HOME": str(folder / "home"), "DAGSTER_HOME": "elsewhere"}
    environment |= {"RECO_DAGSTER_DATABASE_URL_FILE": str(folder / "url")} | more
    words = [sys.executable, str(DOCKER / "start.py"), *(command or ("printenv", "DAGSTER_HOME"))]
    return subprocess.run(words, cwd=folder, env=environment, check=False, capture_output=True, text=True)


def test_the_entry_point_prepares_dagster_and_writes_no_password(tmp_path: Path) -> None:
    """What `reco config dagster` would write is there before the command starts; what is missing is said in a line."""
    secret = tmp_path / "url"
    secret.write_text("postgresql://dagster:planted@db.example/dagster")
    done = start(tmp_path)
    assert (done.returncode, done.stdout) == (0, f"{tmp_path}/home/dagster\n"), done.stderr
    written = (tmp_path / "home" / "dagster" / "dagster.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(written)["storage"]["custom"]["class"] == "PostgresOfSettings"
    assert "planted" not in written + done.stderr
    secret.unlink()
    refused = start(tmp_path)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert re.fullmatch(r"printenv does not start: .*RECO_DAGSTER_DATABASE_URL.*\n", refused.stderr), refused.stderr


@pytest.mark.parametrize("name", ["code", "tools"])
def test_alerts_of_the_pipeline_have_a_place_to_go(name: str, tmp_path: Path) -> None:
    """The roles that tell them read the targets that the third word of the script names."""
    role, made = SERVICES[name], tmp_path / "made"
    assert secrets_of(role)[role["environment"]["RECO_ALERT_TARGETS_FILE"]] == "alert_targets"
    assert "outside" in role["networks"]
    call = [str(DOCKER / "make-secrets.sh"), "age1nobody", "https://hook.example/prometheus", "jsons://hook.example/us"]
    subprocess.run(call, env={"PATH": "/usr/bin:/bin", "RECO_SECRETS": str(made)}, check=True, capture_output=True)
    assert (made / "alert_targets").read_text() == "jsons://hook.example/us\n"


def test_the_code_server_does_not_start_without_a_graph(tmp_path: Path) -> None:
    """It would take connections, and so be healthy; what is missing is said instead, and the container ends."""
    (tmp_path / "url").write_text("postgresql://dagster:planted@db.example/dagster")
    done = start(tmp_path, "dagster", "code-server", "--help", RECO_PROFILE="production")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.match("dagster does not start: .*RECO_REDIS_URL", done.stderr, re.DOTALL), done.stderr


def test_every_volume_is_described() -> None:
    """What is kept where, and which of it a backup holds, stands on the page."""
    for name in FILE["volumes"]:
        assert f"| `{name}` |" in PAGE
