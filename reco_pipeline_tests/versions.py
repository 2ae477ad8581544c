"""Versions of the database, for tests of one migration whatever comes before and after it.

Belongs here: finding them. Does not belong here: any claim.
"""

from alembic.config import Config
from alembic.script import ScriptDirectory

from reco.storage import sql


def version_before(slug: str) -> str:
    """The version that the migration with this slug starts from."""
    config = Config()
    config.set_main_option("script_location", str(sql.MIGRATIONS))
    scripts = ScriptDirectory.from_config(config).walk_revisions()
    found = next(one.down_revision for one in scripts if one.path.endswith(f"_{slug}.py"))
    assert isinstance(found, str)
    return found
