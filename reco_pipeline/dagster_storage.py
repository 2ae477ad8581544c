"""Where Dagster keeps its runs, events and schedules when that is not the home: Postgres, by our settings.

Belongs here: the class that `dagster.yaml` names. Does not belong here: our own tables (`reco.storage.sql`). Loaded by
Dagster alone, and only where RECO_DAGSTER_DATABASE_URL is set: it needs dagster-postgres.

Dagster's own configuration could name an environment variable, but no file of a secret; and the workers of runs get
whatever stands in it on their command line.
"""

from collections.abc import Mapping
from typing import Any

from dagster_postgres.storage import DagsterPostgresStorage

from reco.errors import ConfigError
from reco.settings import Settings, load_settings
from reco.storage.records_database import SETTING, records_url

DRIVER = "postgresql+psycopg2"
"""The driver that dagster-postgres is written for; SQLAlchemy 2.1 takes another one for a bare `postgresql://`."""


class PostgresOfSettings(DagsterPostgresStorage):
    """Runs, events and schedules in the Postgres of RECO_DAGSTER_DATABASE_URL; missing tables are made."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """There is nothing to configure in `dagster.yaml`."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Mapping[str, Any]) -> "PostgresOfSettings":  # noqa: ARG003 - Dagster's signature
        """The storages on the URL of the settings."""
        return cls(postgres_url(), should_autocreate_tables=True, inst_data=inst_data)


def postgres_url(settings: Settings | None = None) -> str:
    """The URL as dagster-postgres wants it, whichever Postgres driver the setting names.

    Raises:
        ConfigError: it is not set, or no URL of Postgres.
    """
    url = records_url(settings or load_settings())
    if url is None:
        raise ConfigError(
            f"{SETTING} is not set, and dagster.yaml says that Dagster keeps its records there.",
            hint="Set it to postgresql://USER:PASSWORD@HOST/DATABASE, or remove dagster.yaml: it is written anew.",
            settings=[SETTING],
        )
    return url.set(drivername=DRIVER).render_as_string(hide_password=False)
