"""An S3 client that misbehaves on purpose, around a real one.

Belongs here: injecting faults into the calls of a store. Does not belong here: any claim, or answers of its own making.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError
from botocore.response import StreamingBody

from reco.storage.steady import Patience

QUICK = Patience(attempts=4, seconds=60.0, wait_seconds=0.001, failures=3, away_seconds=3600.0)


@dataclass
class Fault:
    """What goes wrong at calls of `operation`, from the `first` on (counted from 0), `times` times (-1: for ever).

    before: runs instead of the call (and may raise, or kill the process); after: gets the answer and may spoil it.
    """

    operation: str
    first: int = 0
    times: int = 1
    before: Callable[[dict[str, Any]], None] | None = None
    after: Callable[[Any], Any] | None = None


@dataclass
class FaultyClient:
    """Passes every call to the real client, except where a fault is due."""

    inner: Any
    faults: list[Fault] = field(default_factory=list)
    calls: dict[str, int] = field(default_factory=dict)

    def __getattr__(self, operation: str) -> Any:
        def call(**arguments: Any) -> Any:
            number = self.calls.get(operation, 0)
            self.calls[operation] = number + 1
            due = [one for one in self.faults if one.operation == operation and one.times and number >= one.first]
            for fault in due:
                fault.times -= 1
                if fault.before:
                    fault.before(arguments)
            answer = getattr(self.inner, operation)(**arguments)
            for fault in due:
                if fault.after:
                    answer = fault.after(answer)
            return answer

        return call


def says(status: int, code: str) -> Callable[[Any], Any]:
    """The store says no with an HTTP status and a code: before the call, or after it was done (its answer is lost)."""

    def refuse(_: Any) -> Any:
        raise ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "any")

    return refuse


def body(change: Callable[[bytes], bytes]) -> Callable[[Any], Any]:
    """The answer to a read has other bytes than the store sent."""

    def spoil(answer: Any) -> Any:
        data = change(answer["Body"].read())
        return answer | {"Body": StreamingBody(io.BytesIO(data), len(data)), "ContentLength": len(data)}

    return spoil
