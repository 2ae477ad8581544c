"""How every command starts: its settings, and where its log events go.

Does not belong here: what a command does.
"""

from typing import Any

from reco.settings import Settings, load_settings


def settings_of_command(**overrides: Any) -> Settings:
    """The effective settings, with logging set up accordingly.

    Raises:
        ConfigError: a setting is missing or does not parse.
    """
    from reco.logs import configure_logs

    settings = load_settings(**overrides)
    configure_logs(settings.log_level)
    return settings
