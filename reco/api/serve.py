"""Running the service until it is told to stop: in this process, or in several that this one keeps.

Belongs here: the socket, the server and the signals. Does not belong here: the application (`app`), and how a process
comes to one (`worker`).
"""

import os
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from reco.api.edge import is_loopback
from reco.api.keyring import KeyRing, open_ring
from reco.api.metrics import FOLDER_VARIABLE, Metrics
from reco.api.worker import APPLICATION, PROTOCOL, log_of_service, make
from reco.errors import AddressUnavailable, ConfigError, ServiceEnded
from reco.settings import Settings
from reco.storage.homelock import in_use
from reco.storage.redis_service import ServiceRedis

GRACE_SECONDS = 5
HANGS_SECONDS = 30  # a worker that does not react for so long is replaced; to start takes seconds on a busy machine
BACKLOG = 128


def serve(settings: Settings, ready: Callable[[str], None], workers: int = 1) -> None:
    """Answers until SIGINT or SIGTERM, and then finishes requests under way.

    `ready` hears the URL as soon as connections are taken. With several workers each is a process of its own that has
    its own copy of the snapshot; one that ends or hangs is replaced. They read the settings of the environment.

    Raises:
        ConfigError: it would be open to other machines, or to anybody in production.
        DatabaseUnavailable: the keys cannot be read.
        AddressUnavailable: the address is taken, or not one of this machine.
        RedisUnavailable: the embedded server could not be started.
        ServiceEnded: the workers do not start.
        Busy: a restore of the home is at work.
        BackupError: a restore of the home was cut short.
    """
    log_of_service(settings)
    # What a restore replaces includes the keys: a service that went on would go by those of before.
    with in_use(settings.home, "reco serve"):
        metrics = Metrics()
        ring = open_ring(settings, metrics)
        require_closed(settings, ring)
        _answer(settings, ring, metrics, ready, workers)


def _answer(settings: Settings, ring: KeyRing, metrics: Metrics, ready: Callable[[str], None], workers: int) -> None:
    with _listening(settings.api_host, settings.api_port) as listener, ServiceRedis(settings) as redis:
        url = _url(settings.api_host, listener)
        if workers > 1:
            ready(url)
            _keep_workers(_config(settings, APPLICATION, workers), listener)
            return
        server = uvicorn.Server(_config(settings, make(settings, redis, ring, metrics), 1))
        with _stopping(server):
            ready(url)
            server.run(sockets=[listener])


def _config(settings: Settings, app: object, workers: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # an application, or where a worker finds one
        factory=workers > 1,
        workers=workers,
        http=PROTOCOL,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_worker_healthcheck=HANGS_SECONDS,
    )


def _keep_workers(config: uvicorn.Config, listener: socket.socket) -> None:
    """Starts the workers, replaces those that end, and ends with them."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with tempfile.TemporaryDirectory(prefix="reco-metrics-") as folder:
        os.environ[FOLDER_VARIABLE] = folder  # inherited: their metrics are added up there
        try:
            supervisor = Multiprocess(config, [listener])
            supervisor.run()
        finally:
            del os.environ[FOLDER_VARIABLE]
            for number, handler in before.items():
                signal.signal(number, handler)
    if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
        raise ServiceEnded("The workers of the API do not start.", hint="Their log events above say why.")


def require_closed(settings: Settings, ring: KeyRing) -> None:
    """Refuses what would leave the service open to others than this machine.

    Raises:
        ConfigError: no API key is usable, and the host is not of the loopback or the profile is production.
    """
    if ring.usable:
        return
    hint = "Make a key with `reco keys create NAME --scope read`, then start again."
    if ring.suspended:
        hint = f"{ring.suspended} are suspended since a restore: `reco keys list`, then `reco keys confirm`. Or: {hint}"
    if settings.profile == "production":
        raise ConfigError(
            "RECO_PROFILE=production needs an API key, and there is none that is active.",
            hint=hint,
            settings=["RECO_PROFILE"],
        )
    if not is_loopback(settings.api_host):
        raise ConfigError(
            f"RECO_API_HOST={settings.api_host} would open the API to other machines, and no API key is active.",
            hint=f"{hint} Or listen on 127.0.0.1.",
            settings=["RECO_API_HOST"],
        )


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    name = host.removeprefix("[").removesuffix("]")
    family = socket.AF_INET6 if ":" in name else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((name, port))
            listener.listen(BACKLOG)
        except OSError as error:
            raise AddressUnavailable(
                f"The API cannot listen on {host} port {port}: {error.strerror}.",
                hint="Set RECO_API_PORT to a free port (0 takes any), or end what uses this one.",
                host=host,
                port=port,
            ) from error
        yield listener


@contextmanager
def _stopping(server: uvicorn.Server) -> Iterator[None]:
    """SIGINT and SIGTERM stop the server; that it was stopped by one is no failure, so they end here."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    # The server has handlers of its own while it runs, and afterwards sends itself what it got: these take it.
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _url(host: str, listener: socket.socket) -> str:
    name = host.removeprefix("[").removesuffix("]")
    port = listener.getsockname()[1]
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
