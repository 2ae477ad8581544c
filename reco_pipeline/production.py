"""What production needs before it starts: every lack at once, each with its next step.

Belongs here: the list, and what else is worth knowing before the first day. Does not belong here: whether a server can
be reached (`reco_pipeline.doctor`), or what a setting means (`reco.settings`).

Used by `reco run`, `reco serve`, `reco dev` and the code location of Dagster, which refuse to start, and by `reco
config check` and `reco doctor`, which only tell. SQLite in the home is no lack: it is a file that backups hold.
"""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress

from pydantic import SecretStr

from reco.errors import ConfigError, DatabaseUnavailable, RecoError
from reco.settings import Settings, loose_secrets
from reco_pipeline.findings import Finding

_MADE_BY_THE_HOME = "is not set: a home would make one for itself, which no other machine has"


def readiness(settings: Settings) -> list[Finding]:
    """Everything that production needs, and whether it is there; `what` is the setting where one is behind it.

    What is there and has a next step all the same is advice: production starts without following it.
    """
    needed = [*_servers(settings), *_secrets(settings), *_api_keys(settings), *_files(settings), _alerts(settings)]
    return [*needed, *_advice(settings)]


def require_ready(settings: Settings, *, database_may_be_away: bool = False) -> None:
    """Refuses to start in production while something is lacking; the profile `local` needs nothing of it.

    Args:
        settings: the effective ones.
        database_may_be_away: what starts once and waits for its database does not ask it about API keys then.

    Raises:
        ConfigError: names every lack; `details["settings"]` has the settings, `details["missing"]` all of it.
    """
    if settings.profile != "production":
        return
    lacks = [one for one in readiness(settings) if not one.ok]
    if database_may_be_away:
        lacks = [one for one in lacks if one.what != "RECO_DATABASE_URL"]
    if not lacks:
        return
    lines = "".join(f"\n  {one.what}: {one.found}. {one.next_step}" for one in lacks)
    raise ConfigError(
        f"RECO_PROFILE=production does not start: {len(lacks)} {'thing is' if len(lacks) == 1 else 'things are'} "
        f"missing.{lines}",
        hint="`reco config check` shows the same list.",
        settings=[one.what for one in lacks],
        missing=[vars(one) for one in lacks],
    )


def _servers(settings: Settings) -> Iterator[Finding]:
    from reco.storage.redis import has_password

    yield _given(
        "RECO_REDIS_URL",
        settings.redis_url,
        "is not set, and the embedded Redis server is for one local machine",
        "Set it to a Redis >= 7.0 with persistence.",
        lambda: has_password(settings.redis_url.get_secret_value()) if settings.redis_url else None,
    )
    if settings.database_url:
        yield Finding("RECO_DATABASE_URL", True, "a database server")
    else:
        step = "For a shop on several machines set it to a Postgres."
        yield Finding("RECO_DATABASE_URL", True, "SQLite in RECO_HOME, for one machine", step)
    yield _given(
        "RECO_S3_BUCKET",
        settings.s3_bucket,
        "is not set: there is no place for backups, and the embedded S3 server dies with its machine",
        "Set it to a bucket of an object store, and RECO_S3_ENDPOINT_URL if it is not AWS.",
    )


def _secrets(settings: Settings) -> Iterator[Finding]:
    from reco.api.peppers import parse_peppers
    from reco.backup.keys import Keyring

    yield _given(
        "RECO_BACKUP_RECIPIENTS",
        settings.backup_recipients,
        "is not set: there is nobody to encrypt backups for",
        "Set it to the public keys (age1...) of those who may restore, and keep their identities elsewhere.",
        lambda: Keyring.of(settings).require_recipients(),
    )
    keys = settings.home / "keys"
    yield _given(
        "RECO_PRIVACY_KEY",
        settings.privacy_key,
        _MADE_BY_THE_HOME,
        f"Set it or RECO_PRIVACY_KEY_FILE; the key this home has made, if it has, is {keys / 'privacy.key'}.",
    )
    peppers = settings.api_peppers
    yield _given(
        "RECO_API_PEPPERS",
        peppers,
        _MADE_BY_THE_HOME,
        f"Set it or RECO_API_PEPPERS_FILE; what this home has made, if it has, is {keys / 'api.peppers'}.",
        lambda: parse_peppers(peppers.get_secret_value()) if peppers else None,
    )


def _api_keys(settings: Settings) -> Iterator[Finding]:
    """Whether a key is active."""
    from reco.api.keybook import open_book

    now = dt.datetime.now(dt.UTC)
    step = "Make one: `reco keys create NAME --scope read`."
    no_database = settings.database_url is None and not (settings.home / "reco.sqlite").exists()
    no_peppers = settings.api_peppers is None and not (settings.home / "keys" / "api.peppers").exists()
    if no_database or no_peppers:  # neither is made for the question
        yield Finding("API keys", False, "none was made", step)
        return
    try:
        book = open_book(settings)
        states = Counter(row.state(now) for row in book.rows() if row.pepper in book.peppers)
    except DatabaseUnavailable as error:
        yield Finding("RECO_DATABASE_URL", False, error.message.rstrip("."), error.hint)
        return
    except ConfigError:  # of a setting that is named above
        yield Finding("API keys", False, "cannot be told as things are", "Correct the settings first.")
        return
    active, suspended = states["active"], states["suspended"]
    if suspended and not active:
        step = "See which still hold, and let them: `reco keys list`, `reco keys confirm ID...`."
        yield Finding("API keys", False, f"{suspended} are suspended since a restore, and none is active", step)
        return
    yield Finding("API keys", bool(active), f"{active} active", "" if active else step)


def _files(settings: Settings) -> Iterator[Finding]:
    loose = loose_secrets(settings)
    for one in loose:
        found = f"{one.path} can be read by other accounts (mode {one.mode:04o})"
        yield Finding(one.setting, False, found, f"`chmod 600 {one.path}`")
    if not loose:
        yield Finding("secret files", True, "for their owner only")


def _alerts(settings: Settings) -> Finding:
    """Whether the targets of alerts parse; that there are none is a choice."""
    from reco.alerts.targets import open_targets

    try:
        targets = open_targets(settings)
    except ConfigError as error:
        return Finding("RECO_ALERT_TARGETS", False, error.message.rstrip("."), error.hint)
    names = ", ".join(one.name for one in targets)
    return Finding("RECO_ALERT_TARGETS", True, names or "none: alerts go to the log alone")


def _advice(settings: Settings) -> Iterator[Finding]:
    """What production can do without, and would miss one day."""
    from reco.api.edge import is_loopback
    from reco.storage.redis import has_password

    if settings.s3_bucket and not settings.s3_replica_bucket:
        found = "is not set: who can remove the bucket of backups removes all of them"
        step = "Name a second bucket, elsewhere and with other credentials: every backup is copied to it."
        yield Finding("RECO_S3_REPLICA_BUCKET", True, found, step)
    if settings.backup_identity:
        found = "is set: whoever reads this machine can open its backups"
        yield Finding(
            "RECO_BACKUP_IDENTITY", True, found, "Keep it elsewhere, and give it to restores and drills only."
        )
    url = settings.redis_url.get_secret_value() if settings.redis_url else ""
    with suppress(ConfigError):  # that it is no URL is named above
        if url and not has_password(url):
            found = "has no password: whoever reaches the server may change what is served"
            yield Finding("RECO_REDIS_URL", True, found, "Give it users with passwords (docker/redis/users.acl).")
    if not is_loopback(settings.api_host) and not settings.api_trusted_proxies:
        found = "is not set, and the API listens to other machines: behind a proxy all callers have its address"
        step = "Behind a proxy set it to the proxy's address; without one the API has no TLS."
        yield Finding("RECO_API_TRUSTED_PROXIES", True, found, step)


def _given(
    what: str, value: object, lacking: str, next_step: str, parses: Callable[[], object] = lambda: None
) -> Finding:
    """Whether a setting is given and parses."""
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if value is None or not str(text).strip():
        return Finding(what, False, lacking, next_step)
    try:
        parses()
    except RecoError as error:
        return Finding(what, False, error.message.rstrip("."), error.hint)
    return Finding(what, True, "set")
