"""One process that answers: its application made of the settings, its log, and when a request arrived.

Belongs here: what each process of the service sets up for itself. Does not belong here: starting and ending processes
(`serve`), and the parts of the application (`app`).
"""

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from multiprocessing.process import BaseProcess as ParentProcess
from typing import Any

import structlog
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from reco.api import notes
from reco.api.app import create_app
from reco.api.back import open_back
from reco.api.edge import HEADERS
from reco.api.follower import Follower
from reco.api.keyring import KeyRing, open_ring
from reco.api.limits import RateLimit
from reco.api.metrics import Metrics
from reco.api.problems import problem
from reco.errors import RecoError
from reco.logs import configure_logs, log_format
from reco.settings import Settings, load_settings
from reco.storage.homelock import stay_in_use
from reco.storage.redis_service import ServiceRedis

APPLICATION = f"{__name__}:application"
PROTOCOL = f"{__name__}:Arrival"

log = structlog.get_logger(__name__)


def make(settings: Settings, redis: ServiceRedis, ring: KeyRing, metrics: Metrics) -> FastAPI:
    """The application on an open Redis."""
    limit = RateLimit(redis, settings.namespace, settings.api_rate_limit, metrics) if settings.api_rate_limit else None
    follower = Follower(redis, settings.namespace, metrics)
    return create_app(follower, ring, open_back(settings, redis, metrics), limit, metrics, settings)


def application() -> FastAPI:
    """The application of a worker, from the settings of the environment. It keeps Redis until the process ends.

    Where it cannot be made, the process ends, and whoever keeps the workers starts another one.
    """
    if (keeper := multiprocessing.parent_process()) is not None:
        threading.Thread(target=_end_with, args=(keeper,), daemon=True).start()
    settings = load_settings()
    log_of_service(settings)
    metrics = Metrics()
    try:
        stay_in_use(settings.home, "reco serve")  # also where whoever started it was killed
        redis = ServiceRedis(settings).__enter__()
        return make(settings, redis, open_ring(settings, metrics), metrics)
    except RecoError as error:
        log.error("worker_not_started", code=error.code, reason=error.message)  # noqa: TRY400 - no defect: no trace
        sys.exit(1)


def _end_with(keeper: ParentProcess) -> None:
    """Without whoever keeps the workers, nobody could end this one: it would hold the port for ever."""
    keeper.join()
    os.kill(os.getpid(), signal.SIGTERM)


def log_of_service(settings: Settings) -> None:
    """Events of the service and messages of its server, in one form and place; in production from level info on."""
    chosen = "log_level" in settings.model_fields_set or settings.profile != "production"
    level = settings.log_level if chosen else "info"
    configure_logs(level, log_format(settings))
    server = logging.getLogger("uvicorn.error")
    server.handlers, server.propagate = [_ToEvents()], False
    server.setLevel(level.upper())


class _ToEvents(logging.Handler):
    """Messages of the server as events."""

    def emit(self, record: logging.LogRecord) -> None:
        """Tells one."""
        told = structlog.get_logger("uvicorn")
        told.log(record.levelno, "server_message", text=record.getMessage(), exc_info=record.exc_info)


class Arrival(HttpToolsProtocol):
    """HTTP as the server speaks it; each request knows when its first byte was read."""

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]  # a field of our own
        scope["reco.arrived_at"] = time.perf_counter()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP, or has too long an address to be read, is answered like every other error."""
        about = notes.begin(None)
        answer = problem(400, "request_refused", msg, hint="Send HTTP/1.1 and an address of less than 16 kB.")
        fields = HEADERS | {notes.REQUEST_ID: about.request_id, "Connection": "close"} | dict(answer.headers)
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.transport.write(f"HTTP/1.1 400 Bad Request\r\n{head}\r\n".encode("latin-1") + bytes(answer.body))
        self.transport.close()
