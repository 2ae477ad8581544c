"""Connections to Redis, the embedded one or the one given by URL, and what its errors mean.

Belongs here: opening a client, telling why Redis cannot be used, and facts about the server. Does not belong here: keys
and values.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import redis
from redis.asyncio import Redis as AsyncRedis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    InvalidResponse,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from reco.errors import ConfigError, RedisUnavailable
from reco.local.acl import User
from reco.local.valkey import EmbeddedValkey
from reco.settings import Settings

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
OLDEST_MAJOR = 7
NEARLY_FULL = 0.9  # of its memory limit


@contextmanager
def open_redis(
    settings: Settings,
    user: User | None = None,
    *,
    connect_seconds: float = CONNECT_SECONDS,
    answer_seconds: float = ANSWER_SECONDS,
) -> Iterator[redis.Redis]:
    """A client that answered a PING; values come as bytes.

    With `redis_url` unset it holds a lease on the embedded server of the home for the length of the block, and connects
    as `user` (None: the administrator); a URL names its own user. Nothing is tried twice by the client: a command whose
    answer was lost may have been done.

    Raises:
        RedisUnavailable: no connection, a wrong password, or (from inside the block) a server that went away or
            cannot take writes.
        ConfigError: `RECO_REDIS_URL` is not a Redis URL.
    """
    with ExitStack() as stack:
        if settings.redis_url is None:
            endpoint = stack.enter_context(embedded_redis(settings).lease())
            url = endpoint.url_of(user) if user else endpoint.url
        else:
            url = settings.redis_url.get_secret_value()
        client = _client(url, connect_seconds, answer_seconds)
        stack.callback(client.close)
        stack.enter_context(redis_errors(client, embedded=settings.redis_url is None))
        _greet(client)
        yield client


def embedded_redis(settings: Settings) -> EmbeddedValkey:
    """The Redis server of the home.

    Raises:
        ConfigError: production has none.
    """
    if settings.profile == "production":
        raise ConfigError(
            "RECO_PROFILE=production needs RECO_REDIS_URL: the embedded Redis server is for one local machine.",
            hint="Set RECO_REDIS_URL to a Redis >= 7.0 with persistence.",
            settings=["RECO_REDIS_URL"],
        )
    return EmbeddedValkey(
        settings.home,
        settings.redis_max_memory,
        namespace=settings.namespace,
        history_days=settings.redis_history_days,
    )


def _client(url: str, connect_seconds: float, answer_seconds: float) -> redis.Redis:
    try:
        return redis.Redis.from_url(
            url,
            decode_responses=False,
            socket_connect_timeout=connect_seconds,
            socket_timeout=answer_seconds,
            health_check_interval=30,
            retry=Retry(NoBackoff(), 0),
        )
    except (ValueError, TypeError):
        raise not_a_url() from None


def not_a_url(setting: str = "RECO_REDIS_URL") -> ConfigError:
    """The error for a URL that does not parse, without the reason's text: it may repeat the URL, password and all."""
    return ConfigError(
        f"{setting} is not a Redis URL.",
        hint="Write redis://:password@host:6379/0, rediss:// for TLS or unix:///path; percent-encode the password.",
        settings=[setting],
    )


def _greet(client: redis.Redis) -> None:
    try:
        client.ping()
    except ResponseError as error:
        if _code(error) != "MISCONF":  # the server cannot save, but it answers reads
            raise
    except UnicodeError as error:  # what looking up a host name says to an impossible one
        raise ConfigError(
            f"RECO_REDIS_URL names a host that cannot exist: {address(client)}.",
            hint="Correct the host in RECO_REDIS_URL.",
            settings=["RECO_REDIS_URL"],
        ) from error


def address(of: redis.Redis | AsyncRedis | str, setting: str = "RECO_REDIS_URL") -> str:
    """`host:port` or the socket path of a client or a URL, `/db` behind it if not 0; never a user or a password.

    Raises:
        ConfigError: a text is not a Redis URL; `setting` is what gave it.
    """
    given = _parts(of, setting) if isinstance(of, str) else of.connection_pool.connection_kwargs
    place = str(given["path"]) if "path" in given else f"{given.get('host', 'localhost')}:{given.get('port', 6379)}"
    return f"{place}/{given['db']}" if given.get("db") else place


def has_password(url: str, setting: str = "RECO_REDIS_URL") -> bool:
    """Whether a Redis URL has a password, wherever in it.

    Raises:
        ConfigError: it is not a Redis URL.
    """
    return bool(_parts(url, setting).get("password"))


def _parts(url: str, setting: str) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = parse_url(url)  # type: ignore[no-untyped-call] # redis-py's own is not annotated
    except (ValueError, TypeError):
        raise not_a_url(setting) from None
    return found


def _code(error: RedisError) -> str:
    """The code of an error reply, which the client keeps as a field for those it knows and in the text for others."""
    if code := getattr(error, "status_code", None):
        return str(code)
    text = str(error)
    if text.startswith("Command # "):  # a pipeline puts the command in front
        text = text.rpartition("caused error: ")[2]
    return text.partition(" ")[0]


@dataclass(frozen=True)
class ServerFacts:
    """What decides whether a Redis can hold our snapshots. None: the server does not tell."""

    server: str
    version: str
    aof: bool
    rdb: bool | None
    fsync: str | None
    saves_work: bool
    max_memory_bytes: int
    policy: str
    used_memory_bytes: int
    role: str
    cluster: bool


def server_facts(client: redis.Redis) -> ServerFacts:
    """Asks the server about itself. `max_memory_bytes` is 0 when there is no limit.

    Raises:
        RedisUnavailable: the server does not answer.
    """
    with redis_errors(client):
        info = client.info()
        try:
            told = client.config_get("save", "appendfsync")
        except ResponseError:  # managed servers refuse CONFIG, and so does a user with few rights
            told = {}
    return ServerFacts(
        server=str(info.get("server_name", "redis")),
        version=str(info.get("valkey_version") or info.get("redis_version", "unknown")),
        aof=bool(info.get("aof_enabled", 0)),
        rdb=bool(told["save"]) if "save" in told else None,
        fsync=told.get("appendfsync"),
        saves_work=all(
            info.get(name, "ok") == "ok"
            for name in ("rdb_last_bgsave_status", "aof_last_write_status", "aof_last_bgrewrite_status")
        ),
        max_memory_bytes=int(info.get("maxmemory", 0)),
        policy=str(info.get("maxmemory_policy", "unknown")),
        used_memory_bytes=int(info.get("used_memory", 0)),
        role=str(info.get("role", "unknown")),
        cluster=bool(info.get("cluster_enabled", 0)),
    )


def warnings(facts: ServerFacts) -> list[str]:
    """What a person should know about a Redis given by URL, one sentence each; empty when it suits."""
    found = [*_keeping(facts), *_room(facts)]
    if int(facts.version.partition(".")[0] if facts.version[:1].isdigit() else OLDEST_MAJOR) < OLDEST_MAJOR:
        found.append(f"Redis {facts.version} is older than {OLDEST_MAJOR}.0, the oldest version that is supported.")
    if facts.role in ("slave", "replica"):
        found.append("Redis is a read-only replica: give the URL of its primary.")
    if facts.cluster:
        found.append("Redis is in cluster mode, which is not supported.")
    return found


def _keeping(facts: ServerFacts) -> Iterator[str]:
    if not facts.aof and facts.rdb is False:
        yield "Redis keeps nothing on disk: after a restart nothing is served until the next run; set appendonly yes."
    if not facts.aof and facts.rdb is None:
        yield (
            "Redis does not tell whether it saves to disk (it refuses CONFIG GET): make sure that its persistence "
            "is on."
        )
    if facts.aof and facts.fsync == "no":
        yield "Redis leaves it to the system when its append-only file reaches the disk: set appendfsync everysec."
    if not facts.saves_work:
        yield "The last save of Redis to its disk failed: check its disk and its log."


def _room(facts: ServerFacts) -> Iterator[str]:
    if facts.max_memory_bytes and facts.used_memory_bytes >= NEARLY_FULL * facts.max_memory_bytes:
        yield (
            f"Redis is nearly full ({facts.used_memory_bytes / 1e6:,.1f} of {facts.max_memory_bytes / 1e6:,.1f} MB): "
            "raise its maxmemory, or free memory with `reco snapshot gc`."
        )
    if facts.policy == "unknown":
        yield "Redis does not tell whether it evicts keys when it is full: make sure that it does not."
    elif facts.policy.startswith("allkeys-"):
        yield f"Redis may evict parts of a published snapshot (maxmemory-policy {facts.policy}); set noeviction."
    elif facts.policy != "noeviction":
        yield f"Redis may evict the publish lease and cached values (maxmemory-policy {facts.policy}); set noeviction."


def worries(settings: Settings, client: redis.Redis) -> list[str]:
    """The warnings about a Redis given by URL; none about the embedded server, whose configuration is ours.

    Raises:
        RedisUnavailable: the server does not answer.
    """
    return [] if settings.redis_url is None else warnings(server_facts(client))


@contextmanager
def redis_errors(client: redis.Redis | AsyncRedis, *, embedded: bool = False) -> Iterator[None]:
    """Turns errors of the block that say Redis cannot be used (or not be written to) into `RedisUnavailable`.

    Any other error reply, such as a wrong type, is a defect of the caller and goes through as it is. `embedded` only
    changes what the hint advises.
    """
    try:
        yield
    except RedisError as error:
        said = _meaning(error, embedded=embedded)
        if said is None:
            raise
        where = address(client)
        raise RedisUnavailable(said[0].format(where=where), hint=said[1], address=where, reason=_code(error)) from error


def _meaning(error: RedisError, *, embedded: bool) -> tuple[str, str] | None:
    """What happened and the next step; None for an error that does not say that the server cannot be used."""
    code = _code(error)
    if said := _REPLIES.get(code):
        return said[0], said[2 if embedded else 1]
    if isinstance(error, (AuthenticationError, AuthorizationError)):
        return _REPLIES["WRONGPASS"][0], _REPLIES["WRONGPASS"][2 if embedded else 1]
    reason = str(error).rstrip(".")
    if isinstance(error, RedisTimeoutError):
        return f"Redis at {{where}} did not answer in time ({_braces(reason)}).", _again(embedded=embedded)
    if isinstance(error, (RedisConnectionError, InvalidResponse)):
        return f"Redis at {{where}} does not answer ({_braces(reason)}).", _again(embedded=embedded)
    return None


def _braces(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _again(*, embedded: bool) -> str:
    if embedded:
        return "Run the command again: the embedded server starts anew, with its data."
    return "Check RECO_REDIS_URL, and that the server runs and can be reached from this machine."


_PASSWORD = (
    "Redis at {where} refused the user or password.",
    "Correct the user and password in RECO_REDIS_URL; special characters must be percent-encoded.",
    "The password file of the home does not belong to the running server: end that server, then try again.",
)
_CLUSTER = (
    "Redis at {where} is a node of a cluster, which is not supported.",
    "Set RECO_REDIS_URL to a Redis that is not in cluster mode.",
    "Set RECO_REDIS_URL to a Redis that is not in cluster mode.",
)

# code of the error reply -> what happened, the next step for a server given by URL, the one for the embedded server
_REPLIES = {
    "WRONGPASS": _PASSWORD,
    "NOAUTH": _PASSWORD,
    "NOPERM": (
        "Redis at {where} does not permit this user a command we need.",
        "Give the user of RECO_REDIS_URL the right to read, write and run scripts on the keys of the namespace.",
        "End the embedded server, then try again: it is started with our own configuration.",
    ),
    "LOADING": (
        "Redis at {where} is still reading its files.",
        "Wait until it is ready, then try again.",
        "Wait until it is ready, then try again.",
    ),
    "OOM": (
        "Redis at {where} has no memory left for new data; what is published is still served.",
        "Raise its maxmemory, or free memory with `reco snapshot gc`.",
        "Raise RECO_REDIS_MAX_MEMORY, or free memory with `reco snapshot gc`.",
    ),
    "READONLY": (
        "Redis at {where} is a read-only replica.",
        "Set RECO_REDIS_URL to the primary.",
        "End the embedded server, then try again: it is started with our own configuration.",
    ),
    "MISCONF": (
        "Redis at {where} cannot save to its disk and therefore takes no writes.",
        "Check free space and permissions of its data folder, and its log.",
        "Check free space and permissions of RECO_HOME, and redis/server.log in it.",
    ),
    "NOREPLICAS": (
        "Redis at {where} has too few replicas and therefore takes no writes.",
        "Bring its replicas back, or lower min-replicas-to-write.",
        "End the embedded server, then try again: it is started with our own configuration.",
    ),
    "MOVED": _CLUSTER,
    "CLUSTERDOWN": _CLUSTER,
    "CROSSSLOT": _CLUSTER,
}
