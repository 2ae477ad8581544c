"""Dagster's own tables in a Postgres, for a restore of its records.

Belongs here: making them as Dagster does, and their version. Does not belong here: what is put into them
(`reco.backup.run_tables`), or where a running Dagster keeps its records (`reco_pipeline.dagster_storage`).
"""

from reco.settings import Settings


class DagsterTables:
    """The tables of the Dagster that is installed."""

    def revision(self) -> str:
        """The version of the tables that it makes."""
        from alembic.config import Config
        from alembic.script import ScriptDirectory
        from dagster._core.storage.sql import ALEMBIC_SCRIPTS_LOCATION

        config = Config()
        config.set_main_option("script_location", ALEMBIC_SCRIPTS_LOCATION)
        return ",".join(sorted(ScriptDirectory.from_config(config).get_heads()))

    def make(self, settings: Settings, schema: str) -> None:
        """Makes them in a schema that is there, empty: Dagster does so when its storages are opened."""
        from reco_pipeline.instance import require_postgres

        require_postgres()
        import sqlalchemy as sa
        from dagster_postgres.storage import DagsterPostgresStorage
        from dagster_postgres.utils import DagsterPostgresException

        from reco.errors import DatabaseUnavailable
        from reco.storage.sql import shown
        from reco_pipeline.dagster_storage import postgres_url

        url = sa.make_url(postgres_url(settings))
        given = url.query.get("options", "")
        options = f"{given if isinstance(given, str) else ' '.join(given)} -csearch_path={schema}".strip()
        there = url.update_query_dict({"options": options}).render_as_string(hide_password=False)
        try:
            DagsterPostgresStorage(there, should_autocreate_tables=True)
        except (DagsterPostgresException, sa.exc.SQLAlchemyError) as error:
            reason = str(error.__cause__ or error).partition("\n")[0]
            raise DatabaseUnavailable(
                f"Dagster could not make its tables in {shown(url)}: {reason}.",
                hint="Check RECO_DAGSTER_DATABASE_URL and the rights of its user; nothing was replaced.",
            ) from error
