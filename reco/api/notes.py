"""What is noted of a request while it passes the parts of the service.

Belongs here: the notes of the request of the moment, and its id. Does not belong here: what becomes of them: a log
event and metrics (`observed`), and the id in problem documents (`problems`).

Parts that do not see one another (who asks, which rung answered, which errors became problem documents) write here; the
outermost part reads. A context variable carries the notes, so that no signature in between has to.
"""

import os
import re
from contextvars import ContextVar
from dataclasses import dataclass

UNMATCHED = "unmatched"
REQUEST_ID = "X-Request-ID"
# No underscore: what looks like an API key is never taken for an id, and so never logged or sent back.
_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9.-]{7,63}")


@dataclass(slots=True)
class Notes:
    """One request. route: its template. rung: of the ladder. code: of the problem document it was answered with."""

    request_id: str
    route: str = UNMATCHED
    key_id: str | None = None
    rung: str | None = None
    cache: str | None = None
    code: str | None = None


_current: ContextVar[Notes | None] = ContextVar("notes", default=None)


def begin(given: bytes | None) -> Notes:
    """The notes of a new request, under the id it came with if that is well-formed, else under a new one."""
    whole = given is not None and _ID.fullmatch(given)
    notes = Notes(given.decode("ascii") if whole and given is not None else os.urandom(16).hex())
    _current.set(notes)
    return notes


def current() -> Notes:
    """The notes of the request of the moment; outside of one, some that nobody reads."""
    return _current.get() or Notes("")
