"""Secrets from files: `RECO_X_FILE` for every secret setting `x`, so that no secret needs to stand in the environment.

Belongs here: reading them, and telling which of them others of the machine can read. Does not belong here: the settings
themselves (`reco.settings`), or files of secrets that a home makes (`reco.storage.secret_file`).
"""

import os
import stat
import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from reco.errors import ConfigError

_OF_A_CONTAINER = Path("/run/secrets")
"""Where Docker mounts secrets: readable to every account, of one container."""
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class SecretFiles(PydanticBaseSettingsSource):
    """Reads `RECO_X_FILE` for every secret setting.

    Raises:
        ConfigError: a file cannot be read or is empty, or a secret is given both ways.
    """

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The content of the file for one setting, without the blanks around it."""
        own, name = _names(self.settings_cls, field_name)
        path = os.environ.get(name)
        if not path or not is_secret(field):
            return None, field_name, False
        if os.environ.get(own):
            raise ConfigError(
                f"{own} and {name} are both set, and which of them holds is not said.",
                hint=f"Unset one of them; {name} keeps the secret out of the environment.",
                settings=[own, name],
            )
        try:
            secret = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise ConfigError(
                f"{name} names {path}, which cannot be read: {reason}.",
                hint="Give the path of a readable file that holds the secret.",
                settings=[name],
            ) from error
        if not secret:
            raise ConfigError(
                f"{name} names {path}, which is empty.",
                hint="Write the secret into the file, or unset the setting.",
                settings=[name],
            )
        return secret, field_name, False

    def __call__(self) -> dict[str, Any]:
        """All that were found."""
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True)
class LooseFile:
    """A file of secrets that others can read. setting: what names it."""

    setting: str
    path: Path
    mode: int

    def __str__(self) -> str:
        return f"{self.setting}: {self.path} can be read by other accounts (mode {self.mode:04o})"


def loose_files(settings_cls: type[BaseSettings], config: Path, keys: Path) -> list[LooseFile]:
    """The files of secrets in use that their group or everybody can read.

    Args:
        settings_cls: whose secrets.
        config: the settings file; it counts where a secret stands in it.
        keys: the folder of secrets that the home has made.
    """
    secret = [name for name, field in settings_cls.model_fields.items() if is_secret(field)]
    given = [(name, os.environ.get(name)) for name in (_names(settings_cls, one)[1] for one in secret)]
    found = [(name, Path(path)) for name, path in given if path]
    if _holds_one(config, secret):
        found.append((config.name, config))
    found += [("keys of the home", path) for path in sorted(keys.glob("[!.]*"))]
    modes = [(name, path, _mode(path)) for name, path in found if not path.is_relative_to(_OF_A_CONTAINER)]
    return [LooseFile(name, path, mode) for name, path, mode in modes if mode & _OTHERS]


def is_secret(field: FieldInfo) -> bool:
    """Whether a setting is a secret."""
    return "SecretStr" in str(field.annotation)


def _names(settings_cls: type[BaseSettings], field_name: str) -> tuple[str, str]:
    own = f"{settings_cls.model_config['env_prefix']}{field_name.upper()}"
    return own, f"{own}_FILE"


def _holds_one(config: Path, secret: Collection[str]) -> bool:
    try:
        return bool(tomllib.loads(config.read_text(encoding="utf-8")).keys() & set(secret))
    except FileNotFoundError:
        return False


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:  # it went away, or was never there: who reads it says so
        return 0
