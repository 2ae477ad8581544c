"""Everything up on one home: the embedded server, the Dagster UI with its daemon, and the API.

Belongs here: which services there are, in which order they come and go, and their ports. Does not belong here: how a
process is kept (`reco_pipeline.services`), or what is printed (`reco_pipeline.cli.dev`).
"""

import datetime as dt
import http.client
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from reco.alerts.tell import Alert, tell
from reco.errors import ConfigError, ServiceEnded
from reco.orders.home import open_home
from reco.orders.inbox import open_inbox
from reco.orders.intake import unknown_files
from reco.orders.profiles import builtin_profiles
from reco.settings import CONFIG_FILE, Settings
from reco.storage.homelock import dev_lock, in_use
from reco.storage.redis import open_redis, worries
from reco_pipeline.instance import dagster_home, open_instance
from reco_pipeline.pending import close_runs_of_dead_services, write_first_sample
from reco_pipeline.production import require_ready
from reco_pipeline.services import ENDS_SECONDS, Running, Service

START_SECONDS = 180.0
ANSWER_SECONDS = 10.0
WATCH_SECONDS = 0.5
PORTS_TRIED = 50
HOST = "127.0.0.1"
LOCAL = {"0.0.0.0": HOST, "::": "::1"}  # noqa: S104 - where a service that listens on all addresses is asked
STATE = """{
  workspaceOrError { ... on Workspace { locationEntries { loadStatus locationOrLoadError {
    __typename ... on PythonError { message } } } } }
  instance { daemonHealth { allDaemonStatuses { required healthy } } } }"""
# The location has the name it has in workspace.yaml: sensors and schedules are remembered on or off under it.
WORKSPACE = """\
# Written by `reco dev` on each start.
load_from:
  - python_module: {module_name: reco_pipeline.definitions, location_name: reco_pipeline}
"""
Say = Callable[[str], None]
Sleep = Callable[[float], None]


@contextmanager
def services(settings: Settings, say: Say) -> Iterator[list[Running]]:
    """Everything up and answering for the length of the block, then everything down.

    Raises:
        Busy: services of this home are up already, or a restore of it is at work.
        BackupError: a restore of the home was cut short.
        ServiceEnded: one did not come up; the others are down again.
        ConfigError: a port that was asked for is taken, or production lacks something.
    """
    require_ready(settings)
    with ExitStack() as stack:
        lock = stack.enter_context(dev_lock(settings.home))
        stack.enter_context(in_use(settings.home, "reco dev"))
        _close_dead_runs(settings)
        # Held for as long as the services: else each run would start and stop the embedded server.
        for sentence in worries(settings, stack.enter_context(open_redis(settings))):
            say(f"warning: {sentence}")
        first = _first_sample(settings)
        if first:
            say(f"The home is new: {first} is registered as the first drop.")
        running: list[Running] = []
        for make in SERVICES:
            service = make(settings, say)
            one = Running(service, keep=[lock])
            stack.callback(one.stop)
            one.wait_until_ready(START_SECONDS)
            say(f"{service.name}: {service.url}")
            running.append(one)
        yield running


def watch(running: list[Running], settings: Settings, say: Say, *, sleep: Sleep = time.sleep) -> NoReturn:
    """Starts again what ends by itself or does not answer any more, and tells it.

    What ended more than five times within ten minutes is left alone for ten more, and then tried anew: the others are
    kept up meanwhile.
    """
    while True:
        for one in running:
            now = time.monotonic()
            if one.rests(now):
                continue
            try:
                one.check()
                one.probe(now)
            except ServiceEnded as ended:
                revive(one, ended, settings, say, sleep=sleep)
        time.sleep(WATCH_SECONDS)


def revive(one: Running, ended: ServiceEnded, settings: Settings, say: Say, *, sleep: Sleep = time.sleep) -> None:
    """Tries once to start a service again, after a pause that grows with each end; `one.check` tells why it failed."""
    service, pause = one.service, one.pause(time.monotonic())
    first = ended.message.splitlines()[0].partition(" It said")[0]
    if pause is None:
        one.stop()
        minutes = f"{ENDS_SECONDS / 60:.0f} minutes"
        step = f"Its log is {service.log}; it is tried again in {minutes}, or at once by a new `reco dev`."
        tell(Alert("service_lost", service.name, f"{first} It ended again and again.", step), settings)
        say(f"{first} It ended again and again and is left alone for {minutes}; the others stay up.")
        return
    tell(
        Alert("service_ended", service.name, first, f"Nothing: it is started again. Its log is {service.log}."),
        settings,
    )
    say(f"{first} Starting it again in {pause:.0f} s.")
    sleep(pause)
    # What went wrong stays with it: between two tries the others are looked after.
    with suppress(ServiceEnded):
        one.again(START_SECONDS)
        say(f"{service.name} is up again: {service.url}")


def _close_dead_runs(settings: Settings) -> None:
    with open_instance(settings.home) as instance:
        close_runs_of_dead_services(instance)


def _first_sample(settings: Settings) -> str | None:
    """Registers the generated sample where a home never saw a drop and nobody has given it files or an inbox."""
    home = open_home(settings)
    if settings.inbox is not None or unknown_files(home, open_inbox(settings)):
        return None
    given = write_first_sample(home)
    home.ledger.register(given, now=dt.datetime.now(dt.UTC))
    return given[0][0].name if given else None


# ----------------------------------------------------------------------------------------------------------- services
def _dagster(settings: Settings, say: Say) -> Service:
    folder = dagster_home(settings.home)
    port = _port(settings, "dagster_port", say)
    workspace = folder / "workspace.yaml"
    workspace.write_text(WORKSPACE, encoding="utf-8")
    url = f"http://{HOST}:{port}"
    dagster = Path(sys.executable).with_name("dagster")
    return Service(
        name="Dagster UI",
        command=[str(dagster), "dev", "-w", str(workspace), "-h", HOST, "-p", str(port)],
        # Dagster lets a `.env` of its working folder beat the environment: it starts where there is none.
        folder=folder,
        environment=_environment(settings) | {"DAGSTER_HOME": str(folder)},
        log=folder / "dev.log",
        url=url,
        ready=lambda: _dagster_ready(port),
        before_again=lambda: _close_dead_runs(settings),
    )


def _api(settings: Settings, say: Say) -> Service:
    """The API, by the command that serves it alone."""
    host = settings.api_host.removeprefix("[").removesuffix("]")
    host = LOCAL.get(host, host)
    port = _port(settings, "api_port", say)
    return Service(
        name="API",
        command=[str(Path(sys.executable).with_name("reco")), "serve"],
        folder=settings.home,
        environment=_environment(settings) | {"RECO_API_PORT": str(port)},
        log=settings.home / "api.log",
        url=f"http://{f'[{host}]' if ':' in host else host}:{port}",
        ready=lambda: _answer(host, port, "GET", "/livez") is not None,
    )


SERVICES: tuple[Callable[[Settings, Say], Service], ...] = (_dagster, _api)


def _environment(settings: Settings) -> dict[str, str]:
    """What a service finds: it works in another folder, so that every relative path of ours is made absolute."""
    found = os.environ | {"RECO_HOME": str(settings.home), "DAGSTER_DISABLE_TELEMETRY": "1"}
    config = Path(os.environ.get(CONFIG_FILE, "reco.toml")).absolute()
    if config.is_file():
        found[CONFIG_FILE] = str(config)
    if settings.inbox is not None:
        found["RECO_INBOX"] = str(settings.inbox)
    if settings.source not in builtin_profiles():
        found["RECO_SOURCE"] = str(Path(settings.source).expanduser().absolute())
    # Warnings about commands Dagster means to rename are not for the people who read this log.
    return found | {"PYTHONWARNINGS": os.environ.get("PYTHONWARNINGS", "ignore")}


def _answer(host: str, port: int, method: str, path: str, body: str | None = None) -> bytes | None:
    """The body of a good answer; None where there is none in time.

    That its port is taken proves nothing: the system takes connections for a process that hangs.
    """
    wire = http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)
    try:
        wire.request(method, path, body, {"Content-Type": "application/json"})
        answer = wire.getresponse()
        text = answer.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        wire.close()
    return text if answer.status == 200 else None


def _dagster_ready(port: int) -> bool:
    answer = _answer(HOST, port, "POST", "/graphql", json.dumps({"query": STATE}))
    try:
        data = json.loads(answer or b"{}")["data"]
        entries = data["workspaceOrError"].get("locationEntries", [])
        daemons = data["instance"]["daemonHealth"]["allDaemonStatuses"]
    except (ValueError, LookupError, TypeError, AttributeError):
        return False  # Dagster cannot tell, as while its database is away
    for entry in entries:
        found = entry["locationOrLoadError"]
        if found and found["__typename"] == "PythonError":
            raise ServiceEnded(
                f"Dagster cannot load the graph: {found['message'].strip()}", hint="Correct that, then `reco dev`."
            )
    loaded = bool(entries) and all(e["loadStatus"] == "LOADED" and e["locationOrLoadError"] for e in entries)
    return loaded and all(one["healthy"] for one in daemons if one["required"])


# -------------------------------------------------------------------------------------------------------------- ports


def _port(settings: Settings, name: str, say: Say) -> int:
    """The port of a setting; where it was left at its default and is taken, the next free one, with a notice.

    Raises:
        ConfigError: it was asked for by name and is taken.
    """
    wanted = int(getattr(settings, name))
    if _is_free(wanted):
        return wanted
    setting = f"RECO_{name.upper()}"
    free = next((port for port in range(wanted + 1, wanted + PORTS_TRIED) if _is_free(port)), None)
    if name in settings.model_fields_set or free is None:
        raise ConfigError(
            f"Port {wanted} ({setting}) is taken by another program.",
            hint=f"End that program, or set {setting} to a free port.",
            settings=[setting],
        )
    say(f"Port {wanted} is taken by another program: using {free} ({setting} chooses one).")
    return free


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
