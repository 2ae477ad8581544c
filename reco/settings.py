"""The one typed settings object.

Belongs here: every `RECO_*` setting, its default, bounds and meaning. Does not belong here: anything read at import, or
a setting that nothing uses.
"""

import os
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from reco.errors import ConfigError
from reco.secretfiles import LooseFile, SecretFiles, loose_files

PREFIX = "RECO_"
CONFIG_FILE = "RECO_CONFIG_FILE"
CONFIG_NAME = "reco.toml"
ORIGIN = re.compile(r"https?://[^/\s*,]+")
S3_PLACE = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?")


def known_timezone(name: str) -> str:
    """The name of a time zone, as it was given.

    Raises:
        ValueError: it is none, or names a path.
    """
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is not a time zone such as Europe/London") from None
    return name


class Settings(BaseSettings):
    """All settings of one shop. One home = one shop = one namespace."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, env_ignore_empty=True)

    home: Path = Field(
        default=Path(".reco"), description="Folder of all state: inbox, lake, Dagster, embedded servers."
    )
    namespace: str = Field(
        default="reco", pattern=r"^[a-z][a-z0-9_-]{0,39}$", description="Prefix of every key in Redis."
    )
    profile: Literal["local", "production"] = Field(
        default="local", description="`production` starts only with everything it needs, and names what it lacks."
    )
    redis_url: SecretStr | None = Field(default=None, description="Redis >= 7.0 or Valkey; unset: embedded server.")
    database_url: SecretStr | None = Field(
        default=None,
        description="SQLAlchemy URL, for Postgres `postgresql+psycopg://...` with the extra `postgres` installed; "
        "unset: SQLite in the home.",
    )
    dagster_database_url: SecretStr | None = Field(
        default=None, description="Postgres that Dagster keeps its records in; unset: SQLite files in the home."
    )
    privacy_key: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="Key of the pseudonyms of customers, 16 characters or more, or what the file of a home holds; "
        "another one makes other pseudonyms, so keep it with the keys of backups; "
        "unset: made once in the home's `keys`.",
    )
    inbox: Path | str | None = Field(
        default=None,
        description="Folder of new drops, or `s3://bucket/prefix`; a folder in it names a built-in source profile or "
        "holds a `profile.toml`, and `catalogue` is for catalogues; unset: `inbox` in the home.",
    )
    inbox_seconds: int = Field(default=5, ge=1, le=3600, description="Pause between two looks into the inbox.")
    s3_bucket: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        description="Bucket of backups; unset: that of the embedded S3 server.",
    )
    s3_endpoint_url: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="Object store other than AWS, such as `http://127.0.0.1:9000`; its credentials come from where "
        "the AWS tools look.",
    )
    backup_recipients: SecretStr | None = Field(
        default=None,
        description="age public keys that backups are encrypted for, separated by commas; unset: that of the identity.",
    )
    backup_former_recipients: SecretStr | None = Field(
        default=None,
        description="age public keys of earlier backups, separated by commas: still believed, no longer encrypted for.",
    )
    backup_identity: SecretStr | None = Field(
        default=None, description="age secret key that opens backups; local and unset: made once in the home's `keys`."
    )
    restore_into: SecretStr | None = Field(
        default=None,
        description="URL of another Redis that `reco backup restore` loads the keys into, alone, one with a password.",
    )
    s3_replica_bucket: str | None = Field(default=None, min_length=3, description="Second bucket that backups go to.")
    s3_replica_endpoint_url: str | None = Field(
        default=None, pattern=r"^https?://", description="Object store of the second bucket, if it is not AWS."
    )
    s3_replica_access_key_id: str | None = Field(
        default=None, description="Key id at the second bucket; unset: from where the AWS tools look."
    )
    s3_replica_secret_access_key: SecretStr | None = Field(default=None, description="Secret key at the second bucket.")
    backup_keep_days: int = Field(default=7, ge=1, le=36600, description="Every backup of the last days is kept.")
    backup_keep_daily: int = Field(default=14, ge=0, le=3660, description="Days of which the last backup is kept.")
    backup_keep_weekly: int = Field(default=8, ge=0, le=5200, description="Weeks of which the last backup is kept.")
    backup_keep_monthly: int = Field(default=12, ge=0, le=1200, description="Months of which the last backup is kept.")
    backup_keep_minimum: int = Field(
        default=3, ge=1, le=1000, description="Good backups that are kept whatever their age."
    )
    backup_grace_hours: int = Field(
        default=24, ge=1, le=8760, description="Age from which an object of no backup is removed."
    )
    backup_version_days: int = Field(
        default=7,
        ge=0,
        le=36600,
        description="Days a versioned bucket keeps what was removed from it before `reco backup prune` frees it.",
    )
    timezone: str = Field(default="UTC", description="Time zone of the daily schedules, such as Europe/London.")
    daily_hour: int = Field(default=4, ge=0, le=23, description="Hour of the day at which the daily schedules run.")
    run_attempts: int = Field(
        default=4, ge=1, le=20, description="How often automation tries the same drops before it leaves them to people."
    )
    keep_run_days: int = Field(
        default=90, ge=1, le=3660, description="Days for which Dagster keeps runs that nothing refers to, and ticks."
    )
    keep_log_mb: int = Field(
        default=20, ge=1, le=10_000, description="Size at which a log of `reco dev` is cut; one older part is kept."
    )
    disk_warn_free: float = Field(
        default=0.1, ge=0, le=1, description="Free share of the disk of the home below which its health is poor."
    )
    alert_targets: SecretStr | None = Field(
        default=None,
        description="Where alerts go, as Apprise URLs separated by blanks, commas or lines; unset or `log`: the log.",
    )
    alert_checks: Literal["error", "warning"] = Field(
        default="error", description="Least weight of a failed check that is told."
    )
    alert_ui_url: str | None = Field(
        default=None, pattern=r"^https?://", description="Address of the Dagster UI in alerts; unset: this machine."
    )
    alert_heartbeat_url: SecretStr | None = Field(
        default=None, description="URL that is asked every five minutes while automation is at work; unset: none."
    )
    dagster_port: int = Field(default=3000, ge=1, le=65535, description="Port of the Dagster UI of `reco dev`.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="warning", description="Least level of log events; unset: info for the service in production."
    )
    log_format: Literal["text", "json"] | None = Field(
        default=None,
        description="Form of log events, one a line on stderr; unset: json for profile production, else text.",
    )
    source: str = Field(
        default="auto", description="Source profile of drops that name none: a built-in name or a TOML file."
    )
    keep_snapshots: int = Field(default=3, ge=1, le=100, description="Published snapshots kept for rollback.")
    redis_max_memory: str = Field(
        default="2gb", pattern=r"^\d+(kb|mb|gb)$", description="Memory limit of the embedded Redis server."
    )
    redis_history_days: int = Field(
        default=7,
        ge=0,
        le=3660,
        description="Days for which the embedded Redis server can be cut at a second; 0: not at all.",
    )
    score: Literal["cosine", "jaccard", "confidence", "llr", "powers", "regression", "auto"] = Field(
        default="cosine", description="The score that ranks similar items; `auto`: the best by the evaluation."
    )
    score_change_errors: float = Field(
        default=3.0, gt=0, le=100, description="`auto`: standard errors by which another score must be ahead."
    )
    score_min_pair_orders: int = Field(
        default=0, ge=0, le=10**6, description="Orders a pair needs to be kept; 0: 2 for `powers`, else 1."
    )
    score_shrinkage: float = Field(
        default=0.0, ge=0, le=10**6, description="Orders at which a pair's score is halved for its few orders; 0: off."
    )
    score_half_life_days: float = Field(
        default=0.0, ge=0, le=36600, description="Age in days at which an order weighs half, from the newest; 0: off."
    )
    score_order_size_power: float = Field(
        default=0.5, ge=0, le=4, description="`powers`: an order of n items weighs 1/(n-1) to this power."
    )
    score_item_power: float = Field(
        default=0.75, ge=0, le=2, description="`powers`: power of the orders of the item asked for, in the divisor."
    )
    score_other_power: float = Field(
        default=0.35, ge=0, le=2, description="`powers`: power of the orders of its neighbour, in the divisor."
    )
    score_sharpness: float = Field(
        default=1.2, gt=0, le=10, description="`powers`: power of the quotient; above 1 strong pairs decide a basket."
    )
    score_candidates: int = Field(
        default=200,
        ge=10,
        le=1000,
        description="`regression`: items considered for each, which bounds memory (linearly) and work (squared).",
    )
    score_ridge: float = Field(
        default=6.0, gt=0, le=10**6, description="`regression`: what is added to the diagonal; more trusts orders less."
    )
    gate_max_item_loss: float = Field(
        default=0.3, ge=0, le=1, description="Share of items a snapshot may lose against the published one."
    )
    gate_max_order_loss: float = Field(
        default=0.3, ge=0, le=1, description="Share of orders a snapshot may lose against the published one."
    )
    gate_min_overlap: float = Field(
        default=0.2, ge=0, le=1, description="Least mean overlap of the top-10 lists with the published ones."
    )
    gate_quality_errors: float = Field(
        default=3.0,
        ge=0,
        le=100,
        description="Standard errors of the difference by which the score may find less than the served one; 0: any.",
    )
    gate_min_answers: float = Field(
        default=0.8, ge=0, le=1, description="Share of the score's quality that the lists to publish reach; 0: any."
    )
    evaluation_lines: int = Field(
        default=100_000,
        ge=0,
        le=10**9,
        description="Newest order lines that the evaluation uses; 0: no evaluation, and none at the gate.",
    )
    evaluation_questions: int = Field(
        default=5000, ge=1, le=10**7, description="Baskets, at most, from which an item is hidden."
    )
    evaluation_min_questions: int = Field(
        default=200, ge=2, le=10**7, description="Fewer such baskets say nothing: the evaluation is left out."
    )
    evaluation_metric: Literal["hit_rate", "ndcg", "mrr"] = Field(
        default="hit_rate", description="The figure that chooses the champion and that the gate compares."
    )
    quarantine_warn_rate: float = Field(
        default=0.02, ge=0, le=1, description="Share of quarantined lines above which the check warns."
    )
    quality_warn_score: float = Field(
        default=95.0, ge=0, le=100, description="Quality score of a drop below which the check warns."
    )
    quarantine_warn_jump: float = Field(
        default=3.0, ge=1, le=1000, description="How many times the recent quarantine rate is a jump that warns."
    )
    recent_drops: int = Field(
        default=10,
        ge=1,
        le=1000,
        description="Earlier drops that a drop's rate and dates are compared with.",
    )
    quarantine_raw_days: int | None = Field(
        default=None,
        ge=0,
        le=36600,
        description="Days the text of lines that were not accepted is kept, 0: for ever; unset: 90 for drops whose "
        "profile pseudonymises, for ever for others.",
    )
    duplicate_warn_rate: float = Field(
        default=0.05, ge=0, le=1, description="Share of a drop's lines that repeat another above which the check warns."
    )
    completeness_warn_rate: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Share of lines with a value in a column below which the check warns.",
    )
    date_warn_lag_days: int = Field(
        default=366, ge=1, le=36600, description="Days a drop may end before the recent ones begin without a warning."
    )
    date_warn_span_days: int = Field(
        default=3660, ge=1, le=36600, description="Days one drop may span without a warning."
    )
    validity_warn_rate: float = Field(
        default=0.98, ge=0, le=1, description="Share of valid values in a column below which the check warns."
    )
    contradiction_warn_rate: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Share of items, or of orders, that contradict themselves above which the check warns.",
    )
    age_warn_days: float = Field(
        default=3.0, ge=0, le=36600, description="Days the newest orders may be older at receipt than is usual."
    )
    outlier_warn_z: float = Field(
        default=5.0, ge=1, le=1000, description="Spreads from what is usual for an item at which a value is an outlier."
    )
    outlier_warn_rate: float = Field(
        default=0.01, ge=0, le=1, description="Share of outliers in the newest drops above which the check warns."
    )
    volume_warn_z: float = Field(
        default=5.0, ge=1, le=1000, description="Spreads from what is usual for a weekday at which a day warns."
    )
    volume_weeks: int = Field(default=8, ge=4, le=260, description="Weeks that a day is compared with.")
    orphan_warn_rate: float = Field(
        default=0.02, ge=0, le=1, description="Share of sold items that no catalogue lists above which the check warns."
    )
    unsold_warn_rate: float = Field(
        default=0.5, ge=0, le=1, description="Share of listed items that were never sold above which the check warns."
    )
    price_warn_change: float = Field(
        default=0.5, gt=0, le=100, description="Rise of a listed price that is a jump, as a share; so is its reverse."
    )
    drift_warn_index: float = Field(
        default=0.25, ge=0, le=100, description="Population stability index above which the check warns."
    )
    error_checks: str = Field(
        default="", description="Names of checks, separated by commas, whose failure is an error, not a warning."
    )
    shrink_warn_rate: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Share of items or orders lost in a publish that warns when above.",
    )
    overlap_warn_rate: float = Field(
        default=0.5, ge=0, le=1, description="Mean overlap of the top-10 lists with those before that warns when below."
    )

    api_host: str = Field(
        default="127.0.0.1", min_length=1, description="Address the API listens on; other than loopback needs API keys."
    )
    api_port: int = Field(default=8000, ge=0, le=65535, description="Port of the API; 0: any free one.")
    api_workers: int = Field(
        default=1, ge=1, le=64, description="Processes that answer; `reco serve --workers` goes before it."
    )
    api_open: bool = Field(
        default=True, description="Whether the API of a local home without keys answers its own machine; false: nobody."
    )
    api_peppers: SecretStr | None = Field(
        default=None,
        description="Secrets under which HMACs of API keys are kept, as NAME:SECRET, newest first; without them "
        "no key is right, so keep them with the keys of backups; unset: made once in the home's `keys`.",
    )
    api_rate_limit: int = Field(
        default=100,
        ge=0,
        le=1_000_000,
        description="Requests a minute for a key, else an address, but on the open loopback; 0: no limit.",
    )
    api_cache_mb: int = Field(
        default=64, ge=0, le=100_000, description="Answers kept in the memory of each process; 0: none."
    )
    api_max_age_seconds: int = Field(
        default=0,
        ge=0,
        le=86_400,
        description="For how long a client may use an answer without asking again, also one with an item hidden since.",
    )
    api_scraping_items: int = Field(
        default=500,
        ge=0,
        le=100_000,
        description="Requests of a key for an item, in an hour, of which 9 in 10 must be for different ones to be "
        "told; 0: off.",
    )
    api_trusted_proxies: str = Field(
        default="", description="Addresses or networks, separated by commas, whose X-Forwarded-For is believed."
    )
    api_cors_origins: str = Field(
        default="", description="Origins, separated by commas, whose web pages may read answers; none by default."
    )

    @field_validator("alert_targets")
    @classmethod
    def _none_named(cls, value: SecretStr | None) -> SecretStr | None:
        # A file of secrets must hold something.
        return None if value is not None and value.get_secret_value().strip() == "log" else value

    @field_validator("api_trusted_proxies")
    @classmethod
    def _networks(cls, value: str) -> str:
        for one in _listed(value):
            try:
                ip_network(one)
            except ValueError:
                raise ValueError(f"{one!r} is no address or network such as 10.0.0.0/8") from None
        return value

    @field_validator("api_cors_origins")
    @classmethod
    def _origins(cls, value: str) -> str:
        for one in _listed(value):
            if not ORIGIN.fullmatch(one):
                raise ValueError(f"{one!r} is no origin such as https://shop.example")
        return value

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return Path(os.path.abspath(value.expanduser()))

    @field_validator("inbox")
    @classmethod
    def _folder_or_bucket(cls, value: Path | str | None) -> Path | str | None:
        if isinstance(value, str) and "://" in value:
            if not S3_PLACE.fullmatch(value):
                raise ValueError("must be a folder or s3://bucket/prefix")
            return value
        return None if value is None else Path(os.path.abspath(Path(value).expanduser()))

    @model_validator(mode="after")
    def _scores_within_one(self) -> "Settings":
        if self.score in ("powers", "auto") and self.score_item_power + self.score_other_power < 1:
            raise ValueError("RECO_SCORE_ITEM_POWER and RECO_SCORE_OTHER_POWER add up to less than 1")
        return self

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, value: str) -> str:
        return known_timezone(value)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then secret files, then `reco.toml`."""
        named = os.environ.get(CONFIG_FILE)
        if named and not Path(named).is_file():
            raise ConfigError(
                f"{CONFIG_FILE} names {named}, which is not a file.",
                hint="Correct or unset it.",
                settings=[CONFIG_FILE],
            )
        file = TomlConfigSettingsSource(settings_cls, named or CONFIG_NAME)
        return init_settings, env_settings, SecretFiles(settings_cls), file

    @property
    def inbox_place(self) -> Path | str:
        """Where new drops are looked for: a folder, or `s3://bucket/prefix`."""
        return self.inbox or self.home / "inbox"

    @property
    def trusted_proxies(self) -> list[str]:
        """The addresses and networks of `api_trusted_proxies`."""
        return _listed(self.api_trusted_proxies)

    @property
    def cors_origins(self) -> list[str]:
        """The origins of `api_cors_origins`."""
        return _listed(self.api_cors_origins)

    @property
    def sql_url(self) -> str:
        """The SQLAlchemy URL in effect, password included: never log it."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.home / 'reco.sqlite'}"


def _listed(value: str) -> list[str]:
    return [one.strip() for one in value.split(",") if one.strip()]


def loose_secrets(settings: Settings) -> list[LooseFile]:
    """The files of secrets behind these settings that other accounts of the machine can read."""
    config = Path(os.environ.get(CONFIG_FILE) or CONFIG_NAME).absolute()
    return loose_files(Settings, config, settings.home / "keys")


def load_settings(**overrides: Any) -> Settings:
    """The settings from arguments, environment, secret files and `reco.toml`, in that order of precedence.

    `reco.toml` is looked for in the working folder, or is the file that RECO_CONFIG_FILE names.

    Raises:
        ConfigError: a value does not parse (named), or a secret is given in two ways.
    """
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        # Only names and reasons: the input itself may be a secret.
        problems = [(PREFIX + str(e["loc"][0]).upper() if e["loc"] else PREFIX, e["msg"]) for e in error.errors()]
        raise ConfigError(
            "Settings are not valid: " + "; ".join(f"{name}: {reason}" for name, reason in problems) + ".",
            hint="Correct them in the environment or in reco.toml.",
            settings=[name for name, _ in problems],
        ) from None
    except ValueError as error:  # a reco.toml that is not TOML
        raise ConfigError(f"reco.toml cannot be read: {error}.", hint="Correct the file.", settings=[]) from error
    return settings
