"""Running the service in this process until it is told to stop.

Belongs here: the socket, the server and the signals. Does not belong here: the application (`app`).
"""

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn

from reco.api.app import create_app
from reco.api.edge import is_loopback
from reco.api.follower import Follower
from reco.api.keyring import KeyRing, open_ring
from reco.api.limits import RateLimit
from reco.errors import AddressUnavailable, ConfigError
from reco.settings import Settings
from reco.storage.redis_service import ServiceRedis

GRACE_SECONDS = 5
BACKLOG = 128


def serve(settings: Settings, ready: Callable[[str], None]) -> None:
    """Answers until SIGINT or SIGTERM, and then finishes requests under way.

    `ready` hears the URL as soon as connections are taken.

    Raises:
        ConfigError: it would be open to other machines, or to anybody in production.
        DatabaseUnavailable: the keys cannot be read.
        AddressUnavailable: the address is taken, or not one of this machine.
        RedisUnavailable: the embedded server could not be started.
    """
    ring = open_ring(settings)
    require_closed(settings, ring)
    with _listening(settings.api_host, settings.api_port) as listener, ServiceRedis(settings) as redis:
        limit = RateLimit(redis, settings.namespace, settings.api_rate_limit) if settings.api_rate_limit else None
        config = uvicorn.Config(
            create_app(Follower(redis, settings.namespace), ring, limit, settings.cors_origins),
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=settings.trusted_proxies,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        server = uvicorn.Server(config)
        with _stopping(server):
            ready(_url(settings.api_host, listener))
            server.run(sockets=[listener])


def require_closed(settings: Settings, ring: KeyRing) -> None:
    """Refuses what would leave the service open to others than this machine.

    Raises:
        ConfigError: no API key is usable, and the host is not of the loopback or the profile is production.
    """
    if ring.usable:
        return
    hint = "Make a key with `reco keys create NAME --scope read`, then start again."
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
