"""A client that asks as fast as it can, or at a given rate: a process of its own, on connections that are kept.

Belongs here: sending requests, timing answers, and how busy the client itself was. Does not belong here: servers, and
what the figures mean (`benchmarks.api`).

    python -m benchmarks.client URL QUESTIONS.jsonl --seconds 5 [--requests N] [--connections 16] [--rate 500] [--key K]

QUESTIONS: one JSON list a line: method, path, and the body of a POST. They are asked in their order, again and again.
Without a rate each connection asks anew when it is answered. With one, a request is due at its time whether or not the
one before is answered, and its time counts from then: a server that stalls does not get fewer questions for it.
"""

import argparse
import asyncio
import json
import signal
import time
from collections import Counter, deque
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvloop

_LENGTH = b"content-length: "
Question = list[Any]


class Load:
    """What is asked, and what came back."""

    def __init__(self, questions: list[bytes], *, most: int | None, rate: float | None) -> None:
        self._questions = cycle(questions)
        self._left = most
        self._rate = rate
        self.idle: deque[_Connection] = deque()
        self.due: deque[float] = deque()
        self.seconds: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.broken = 0
        self.over = False

    def next(self) -> bytes | None:
        """The next question; None when there are no more."""
        if self.over or self._left == 0:
            self.over = True
            return None
        if self._left is not None:
            self._left -= 1
        return next(self._questions)

    def free(self, connection: "_Connection") -> None:
        """A connection may be used: at once, or when a request is due."""
        if self._rate is None:
            connection.ask(time.perf_counter())
        elif self.due:
            connection.ask(self.due.popleft())
        else:
            self.idle.append(connection)

    async def keep_rate(self) -> None:
        """Makes requests due, one after the other."""
        assert self._rate is not None
        at = time.perf_counter()
        while not self.over:
            now = time.perf_counter()
            while at <= now:
                if self.idle:
                    self.idle.popleft().ask(at)
                else:
                    self.due.append(at)
                at += 1 / self._rate
            await asyncio.sleep(max(0.0, at - time.perf_counter()))


class _Connection(asyncio.Protocol):
    """One connection: a question, its answer, the next question."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._got = b""
        self._needed = -1
        self._began = 0.0
        self._asking = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._load.free(self)

    def ask(self, began: float) -> None:
        """Sends the next question; its time counts from `began`."""
        question = self._load.next()
        if question is None:
            self._transport.close()
            return
        self._began, self._asking = began, True
        self._transport.write(question)

    def data_received(self, data: bytes) -> None:
        self._got += data
        if self._needed < 0:
            end = self._got.find(b"\r\n\r\n")
            if end < 0:
                return
            at = self._got.find(_LENGTH, 0, end + 2)
            length = int(self._got[at + len(_LENGTH) : self._got.index(b"\r", at)]) if at >= 0 else 0
            self._needed = end + 4 + length
        if len(self._got) < self._needed:
            return
        self._load.seconds.append(time.perf_counter() - self._began)
        self._load.statuses[int(self._got[9:12])] += 1
        self._got, self._needed, self._asking = b"", -1, False
        self._load.free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._load.broken += self._asking


def _request(host: str, question: Question, key: str | None) -> bytes:
    method, path, *rest = question
    body = json.dumps(rest[0]).encode() if rest else b""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *([f"X-API-Key: {key}"] if key else [])]
    if rest:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def run(chosen: argparse.Namespace, lines: list[Question]) -> dict[str, Any]:
    """Asks, and returns the figures; times in seconds."""
    place = urlsplit(chosen.url)
    load = Load([_request(place.netloc, one, chosen.key) for one in lines], most=chosen.requests, rate=chosen.rate)
    loop = asyncio.get_running_loop()
    started, cpu = time.perf_counter(), time.process_time()
    for _ in range(chosen.connections):
        await loop.create_connection(lambda: _Connection(load), place.hostname, place.port)
    pace = loop.create_task(load.keep_rate()) if chosen.rate else None
    loop.add_signal_handler(signal.SIGTERM, lambda: setattr(load, "over", True))  # enough was asked: tell the figures
    end = started + chosen.seconds
    while not load.over and time.perf_counter() < end:  # noqa: ASYNC110 - there is a time to look at, too
        await asyncio.sleep(0.02)
    load.over = True
    loop.remove_signal_handler(signal.SIGTERM)
    took, busy = time.perf_counter() - started, time.process_time() - cpu
    if pace is not None:
        await pace
    return figures(load, took) | {"client_busy": busy / took}


def figures(load: Load, took: float) -> dict[str, Any]:
    """The figures of a load."""
    ordered = sorted(load.seconds)

    def at(share: float) -> float | None:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None

    return {
        "requests": len(ordered),
        "seconds": took,
        "per_second": len(ordered) / took,
        "p50": at(0.5),
        "p95": at(0.95),
        "p99": at(0.99),
        "most": ordered[-1] if ordered else None,
        "statuses": {str(status): count for status, count in load.statuses.items()},
        "broken": load.broken,
    }


def main() -> None:
    """Asks as told, and prints one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.client")
    parser.add_argument("url")
    parser.add_argument("questions")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--requests", type=int)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--key")
    chosen = parser.parse_args()
    lines = [json.loads(line) for line in Path(chosen.questions).read_text(encoding="utf-8").splitlines()]
    print(json.dumps(uvloop.run(run(chosen, lines))))


if __name__ == "__main__":
    main()
