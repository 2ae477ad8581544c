"""One connection to the service: time-outs, tries, problems as errors, answers that did not change.

Belongs here: HTTP. Does not belong here: which routes there are (`client`).
"""

import http.client
import json
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from reco.errors import ApiKeyRefused, ApiLimited, ApiNotFound, ApiProblem, ApiUnavailable, UsageError

FIRST_PAUSE_SECONDS = 0.1
LARGEST_BODY = 50_000_000
_OF_STATUS: Mapping[int, type[ApiProblem]] = {
    401: ApiKeyRefused,
    403: ApiKeyRefused,
    404: ApiNotFound,
    429: ApiLimited,
}


class _Reply(NamedTuple):
    status: int
    etag: str | None
    retry_after: float | None
    body: bytes


class Connection:
    """Asks one service, one question at a time; each thread needs one of its own.

    timeout_seconds: for connecting, and for each wait for bytes. tries: how often a question that changes nothing is
    asked before its error is raised. patience_seconds: the longest single pause between tries; where the service asks
    for a longer one (`Retry-After`), the error is raised at once. most_kept: so many answers with an ETag are kept.

    Raises:
        UsageError: the address is none of http or https, or the key has characters that no key has; it is not quoted.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout_seconds: float = 5.0,
        tries: int = 3,
        patience_seconds: float = 10.0,
        most_kept: int = 256,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise UsageError("The address of the service is not valid.", hint="Write it like http://127.0.0.1:8000.")
        self._base = parts.path.rstrip("/")
        self._headers = {"Accept": "application/json"} | ({} if key is None else {"Authorization": _bearer(key)})
        self._tries = tries
        self._patience_seconds = patience_seconds
        self._most_kept = most_kept
        self._sleep = sleep
        self._kept: OrderedDict[str, tuple[str, bytes]] = OrderedDict()
        if parts.scheme == "https":
            context = ssl.create_default_context()
            self._wire: http.client.HTTPConnection = http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=timeout_seconds, context=context
            )
        else:
            self._wire = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_seconds)

    def close(self) -> None:
        """Closes the connection; the next question opens it again."""
        self._wire.close()

    def ask(self, method: str, path: str, body: Any = None, *, changes: bool = False) -> Any:
        """The body of the answer. What changes something is asked once: it may have been done when its answer is lost.

        Raises:
            ApiProblem: the service refused or cannot answer; the class is of the status, `problem` is the document.
        """
        tries = 1 if changes else self._tries
        pause = FIRST_PAUSE_SECONDS
        while True:
            tries -= 1
            try:
                return self._once(method, path, body)
            except (ApiUnavailable, ApiLimited) as error:
                wait = pause if error.retry_after is None else error.retry_after
                if tries <= 0 or wait > self._patience_seconds:
                    raise
                self._sleep(wait)
                pause *= 2

    def _once(self, method: str, path: str, body: Any) -> Any:
        kept = self._kept.get(path) if method == "GET" else None
        headers = dict(self._headers)
        if kept is not None:
            headers["If-None-Match"] = kept[0]
        raw = None
        if body is not None:
            raw = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        reply = self._reply(method, self._base + path, raw, headers)
        if reply.status == 304 and kept is not None:
            self._kept.move_to_end(path)
            return json.loads(kept[1])
        if not 200 <= reply.status < 300:
            raise _problem(reply)
        try:
            found = json.loads(reply.body)
        except ValueError as error:
            raise ApiUnavailable("What answered is not the service: its answer is no JSON.") from error
        if method == "GET" and reply.etag is not None:
            self._keep(path, reply.etag, reply.body)
        return found

    def _reply(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> _Reply:
        used = self._wire.sock is not None
        try:
            return self._exchange(method, path, body, headers)
        except (OSError, http.client.HTTPException) as error:
            self._wire.close()
            # The server may have closed a connection that was idle; before a byte of an answer a GET can be sent again.
            if not (used and method == "GET" and isinstance(error, http.client.RemoteDisconnected | ConnectionError)):
                raise _away(error) from error
        try:
            return self._exchange(method, path, body, headers)
        except (OSError, http.client.HTTPException) as error:
            self._wire.close()
            raise _away(error) from error

    def _exchange(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> _Reply:
        self._wire.request(method, path, body, headers)
        answer = self._wire.getresponse()
        text = answer.read(LARGEST_BODY)
        if answer.length:  # more than any answer has
            self._wire.close()
        return _Reply(answer.status, answer.getheader("ETag"), _seconds(answer.getheader("Retry-After")), text)

    def _keep(self, path: str, etag: str, body: bytes) -> None:
        self._kept[path] = (etag, body)
        self._kept.move_to_end(path)
        while len(self._kept) > self._most_kept:
            self._kept.popitem(last=False)


def _bearer(key: str) -> str:
    key = key.strip()  # what is read from a file often ends with the end of its line
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise UsageError(
            "The API key is empty, or has characters that no key has: a space, an end of line, or one beyond ASCII.",
            hint="Give it as `reco keys create` printed it.",
        )
    return f"Bearer {key}"


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isdecimal() else None


def _away(error: Exception) -> ApiUnavailable:
    return ApiUnavailable(
        f"The service cannot be reached: {str(error) or type(error).__name__}.",
        hint="Is it running, and is the address right?",
    )


def _problem(reply: _Reply) -> ApiProblem:
    try:
        told = json.loads(reply.body)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        told = {"detail": f"The answer has the status {reply.status}, and is no problem document.", "code": ""}
    kind = _OF_STATUS.get(reply.status, ApiUnavailable if reply.status >= 500 else ApiProblem)
    return kind(
        str(told.get("detail", "")),
        hint=str(told.get("hint", "")),
        status=reply.status,
        problem=told,
        retry_after=reply.retry_after,
    )
