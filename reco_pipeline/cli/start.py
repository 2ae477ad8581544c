"""How every command starts: its settings, where its log events go, and who runs it.

Does not belong here: what a command does.
"""

import difflib
import getpass
import os
from typing import Any

import click

from reco.settings import CONFIG_FILE, PREFIX, Settings, load_settings, loose_secrets
from reco_pipeline.cli.output import warn

REAL_DATA = "RECO_REAL_DATA"  # of the tests


def settings_of_command(*, uses_home: bool = True, **overrides: Any) -> Settings:
    """The effective settings, with logging set up accordingly; until the command ends no restore replaces the home.

    Args:
        uses_home: False for what must work on a home whose restore was cut short, or holds the home itself.
        overrides: settings that go before all others.

    Raises:
        ConfigError: a setting is missing or does not parse.
        Busy: a restore of the home is at work.
        BackupError: a restore of the home was cut short.
    """
    from reco.logs import configure_logs, log_format

    settings = load_settings(**overrides)
    configure_logs(settings.log_level, log_format(settings))
    _warn_of_unknown()
    for loose in loose_secrets(settings):
        warn(f"{loose}: take that right away with `chmod 600`; production refuses such a file.")
    if uses_home and settings.home.is_dir():  # there is nothing to lose in one that is not there
        from reco.storage.homelock import in_use

        command = click.get_current_context()
        command.with_resource(in_use(settings.home, f"reco {command.command_path.partition(' ')[2]}"))
    return settings


def account() -> str:
    """Who runs the command, for the record: the name of the account, or its number where it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _warn_of_unknown() -> None:
    """Says which `RECO_*` variable nothing reads: a misspelt one would silently leave its default in force."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    known |= {f"{name}_FILE" for name in known} | {CONFIG_FILE, REAL_DATA}
    for name in sorted(os.environ.keys() - known):
        if name.startswith(PREFIX):
            near = difflib.get_close_matches(name, known, 1)
            warn(f"{name} is no setting{f'; did you mean {near[0]}?' if near else '.'}")
