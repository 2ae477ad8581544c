"""What every test gets: no setting of the shell, no call home, seeds that are printed, and marks by folder."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import structlog
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    import redis

    from reco_pipeline_tests.backup_shop import BackupShop
    from reco_pipeline_tests.object_store import S3Server
    from reco_pipeline_tests.on_postgres import Databases

HERE = Path(__file__).parent
FOLDER_MARKS = ("integration", "e2e", "faults")
KEPT = {"RECO_REAL_DATA"}  # where real data lies is a fact of the machine, not a setting of a shop

# `ci` draws the same examples on every run; another profile is chosen with --hypothesis-profile, a seed with
# --hypothesis-seed. A failure prints how to repeat it.
settings.register_profile(
    "ci", derandomize=True, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", max_examples=2000, deadline=None, print_blob=True)
settings.load_profile("ci")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--database postgres`: the same tests with every ledger in Postgres."""
    parser.addoption(
        "--database", choices=["sqlite", "postgres"], default="sqlite", help="where homes keep their ledger"
    )


def pytest_configure(config: pytest.Config) -> None:
    """An engine that a test leaves to the collector has nothing open on SQLite; on Postgres it warns."""
    if config.getoption("--database") == "postgres":
        config.addinivalue_line("filterwarnings", "ignore:.*psycopg.Connection:ResourceWarning")
        config.addinivalue_line(
            "filterwarnings", "ignore:.*BaseConnection.__del__:pytest.PytestUnraisableExceptionWarning"
        )


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Says at the top of the output what a failure needs to be repeated."""
    profile = config.getoption("--hypothesis-profile", None) or "ci"
    seed = config.getoption("--hypothesis-seed", None)
    data = os.environ.get("RECO_REAL_DATA")
    return [
        f"hypothesis: profile {profile}, seed {seed or ('fixed by derandomize' if profile == 'ci' else 'random')}",
        f"real data: {data or 'RECO_REAL_DATA is not set, tests on real data are skipped'}",
    ]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test in integration/, e2e/ or faults/ has the mark of that name; on Postgres only what touches SQL is run."""
    if config.getoption("--database") == "postgres":
        from reco_pipeline_tests.on_postgres import select  # noqa: PLC0415 - needed with that option only

        select(config, items)
    for item in items:
        folder = item.path.relative_to(HERE).parts[0] if item.path.is_relative_to(HERE) else ""
        if folder in FOLDER_MARKS:
            item.add_marker(getattr(pytest.mark, folder))


@pytest.fixture(autouse=True, scope="session")
def _clean_environment() -> Iterator[None]:
    """Nothing of the shell's configuration reaches a test or a command that a test starts."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("RECO_", "DAGSTER_")) and name not in KEPT:
                patch.delenv(name)
        patch.setenv("DAGSTER_DISABLE_TELEMETRY", "1")
        patch.setenv("TZ", "UTC")
        yield


@pytest.fixture(autouse=True)
def _own_logs() -> Iterator[None]:
    """A command called in a test sets up logging for the whole process: not for the next test."""
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True, scope="session")
def _databases(request: pytest.FixtureRequest) -> "Iterator[Databases | None]":
    """Where homes keep their ledger: see `--database`."""
    if request.config.getoption("--database") == "sqlite":
        yield None
        return
    from reco_pipeline_tests.on_postgres import every_home_on_postgres  # noqa: PLC0415 - needed with that option only

    with every_home_on_postgres() as databases:
        yield databases


@pytest.fixture(autouse=True, scope="module")
def _closed_databases(_databases: "Databases | None") -> Iterator[None]:
    """The homes of one file do not stay open for all that come after it."""
    yield
    if "reco.storage.sql" in sys.modules:
        sys.modules["reco.storage.sql"].close_databases()
    if _databases is not None:
        _databases.drop()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[S3Server]":
    """One S3 server for the tests of a file."""
    from reco_pipeline_tests.object_store import running_s3  # noqa: PLC0415 - only files that use it pay for it

    with running_s3(tmp_path_factory.mktemp("s3")) as found:
        yield found


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[redis.Redis]":
    """One Redis for the tests of a file."""
    from reco_pipeline_tests.servers import running_valkey  # noqa: PLC0415 - see above

    with running_valkey(tmp_path_factory.mktemp("valkey")) as found:
        yield found


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[redis.Redis]":
    """Another Redis, such as that of the machine that is restored to."""
    from reco_pipeline_tests.servers import running_valkey  # noqa: PLC0415 - see above

    with running_valkey(tmp_path_factory.mktemp("other")) as found:
        yield found


@pytest.fixture
def shop(tmp_path: Path, client: "redis.Redis", server: "S3Server") -> "BackupShop":
    """A shop with one published drop, of which backups can be made."""
    from reco_pipeline_tests.backup_shop import BackupShop  # noqa: PLC0415 - see above

    found = BackupShop(tmp_path, client, server)
    found.give()
    found.publish()
    return found


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real order files that RECO_REAL_DATA names; skips, saying so, where there is none."""
    folder = os.environ.get("RECO_REAL_DATA")
    if not folder:
        pytest.skip("RECO_REAL_DATA is not set: it names the folder of real order files")
    if not Path(folder).is_dir():
        pytest.fail(f"RECO_REAL_DATA={folder} is not a folder")
    return Path(folder).resolve()
