"""The places that alerts go to: webhooks, chats and mailboxes, reached by Apprise.

Belongs here: parsing the setting, sending one message to one target, and what the receiver answered. Does not belong
here: when a message is tried again (`reco.alerts.outbox`).

The address of a target is a secret: most hold a token. Nothing of it but the kind of service is ever shown. Of what a
receiver answers only the status and its reason are, as Apprise says them: its own words may quote a password, or a
header made of one. Parts of the address that Apprise itself says are masked.
"""

import base64
import hashlib
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from urllib.parse import unquote, urlsplit

from reco.errors import ConfigError
from reco.settings import Settings

_BETWEEN = re.compile(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+.-]*://)")
_PARTS = re.compile(r"[/:@?&=,#\s]+")
MOST_CHARACTERS = 300
LONG_ENOUGH = 6
"""From so many characters on a part of an address is masked within words too."""
_HTTP = ("urllib3", "requests")
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Answer:
    """Whether a message was taken, and what was said to it."""

    sent: bool
    said: str


@dataclass(frozen=True)
class Target:
    """One place. `name` is fit to be shown, `key` stays the same for as long as the address does."""

    name: str
    key: str
    _url: str

    def send(self, title: str, text: str) -> Answer:
        """Sends one message, within the seconds that Apprise gives a receiver. Raises nothing."""
        apprise = _apprise()
        service = apprise.Apprise()
        service.add(self._url)
        try:
            with _unheard(), apprise.LogCapture(level=logging.DEBUG, fmt="%(levelname)s\t%(message)s") as heard:
                sent = bool(service.notify(body=text, title=title, notify_type=apprise.NotifyType.FAILURE))
                said = _said(heard.getvalue())
        except Exception as error:  # noqa: BLE001 - the boundary to some hundred plugins: an alert fails, and nothing else
            sent, said = False, f"Apprise failed: {type(error).__name__}"
        return Answer(sent, masked(said, self._url) or ("taken" if sent else "no reason was given"))


def open_targets(settings: Settings) -> list[Target]:
    """The targets of the settings, in their order.

    Raises:
        ConfigError: one of them is no address that Apprise knows; it is named by its place and kind.
    """
    if settings.alert_targets is None:
        return []
    apprise, found = _apprise(), []
    for number, url in enumerate(_BETWEEN.split(settings.alert_targets.get_secret_value().strip(" \t\r\n,")), start=1):
        service = apprise.Apprise.instantiate(url)
        if service is None:
            raise ConfigError(
                f"Target {number} of RECO_ALERT_TARGETS ({url.partition('://')[0][:20]}) is no address of Apprise.",
                hint="Give such as jsons://host/path, slack://TOKEN_A/TOKEN_B/TOKEN_C or "
                "mailtos://USER:PASSWORD@HOST?from=A@B&to=C@D; `reco alerts test` tries them.",
                settings=["RECO_ALERT_TARGETS"],
            )
        key = hashlib.sha256(url.encode()).hexdigest()[:12]
        found.append(Target(f"{number} ({service.service_name})", key, url))
    return found


def _apprise() -> ModuleType:
    """Apprise, whose own events nobody but us hears: they hold addresses in full."""
    import apprise  # noqa: PLC0415 - a tenth of a second, for the few who are told something

    logging.getLogger("apprise").propagate = False
    return apprise


@contextmanager
def _unheard() -> Iterator[None]:
    """Keeps from the handlers of this process what the HTTP libraries note of a request: its path may be a token.

    One send at a time, since both this and what is captured are the whole process's.
    """
    loggers = [logging.getLogger(name) for name in _HTTP]
    with _ONE_AT_A_TIME:
        before = [one.propagate for one in loggers]
        try:
            for one in loggers:
                one.propagate = False
            yield
        finally:
            for one, propagates in zip(loggers, before, strict=True):
                one.propagate = propagates


def _said(heard: str) -> str:
    """What matters of what Apprise noted: its warnings, else its last word."""
    lines = [line.partition("\t") for line in heard.splitlines()]
    told = [text for level, _, text in lines if level in {"WARNING", "ERROR"}]
    return " ".join(told or [text for level, _, text in lines if level == "INFO"][-1:])


def masked(said: str, url: str) -> str:
    """Without any part of an address, however short; a short one is taken for it only where it is a word of its own."""
    scheme, _, rest = url.partition("://")
    login = urlsplit(f"//{rest}").netloc.rpartition("@")[0]
    whole = {login, unquote(login)}
    parts = {part for text in (rest, unquote(rest)) for part in _PARTS.split(text)} | whole
    headers = {base64.b64encode(text.encode()).decode() for text in whole}
    parts |= headers | {header.rstrip("=") for header in headers}
    for part in sorted(parts - {"", scheme}, key=len, reverse=True):
        if len(part) >= LONG_ENOUGH:
            said = said.replace(part, "***")
        else:
            said = re.sub(rf"(?<![A-Za-z0-9]){re.escape(part)}(?![A-Za-z0-9])", "***", said)
    return said[:MOST_CHARACTERS]
