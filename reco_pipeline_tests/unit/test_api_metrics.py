"""Promises of what the service tells about itself, without the service: names, notes, breaker, suspicions."""

import json
import sys

import pytest

from reco.api import notes
from reco.api.breaker import Breaker, State
from reco.api.keyring import Refusal
from reco.api.metrics import REFUSALS, RUNGS, Metrics
from reco.api.suspicions import WINDOW_SECONDS, Suspicions
from reco.logs import configure_logs


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        """Its time."""
        return self.at


def value(metrics: Metrics, name: str, **labels: str) -> float:
    """The sample of this name and these labels."""
    found = [s for f in metrics.families() for s in f.samples if s.name == name and labels.items() <= s.labels.items()]
    return sum(one.value for one in found)


def test_known_label_values_start_at_nought():
    """A rule on the rise of a counter works from the first error on, since it was there before."""
    metrics = Metrics()
    for reason in [*(one.value for one in Refusal), "scope_missing"]:
        assert reason in REFUSALS
        assert f'recs_auth_failures_total{{reason="{reason}"}} 0.0' in metrics.text()[0].decode()
    for rung in RUNGS:
        assert f'recs_served_total{{rung="{rung}"}} 0.0' in metrics.text()[0].decode()


def test_what_a_caller_makes_up_becomes_no_label():
    """Methods that do not exist are one label value, whatever they are called."""
    metrics = Metrics()
    for method in ("BREW", "planted", "GET"):
        metrics.request(method, notes.UNMATCHED, 404, 0.1)
    assert value(metrics, "recs_http_requests_total", method="_OTHER") == 2
    assert "planted" not in metrics.text()[0].decode()


# ---------------------------------------------------------------------------------------------------------- request ids


@pytest.mark.parametrize("given", [b"0123abcd", b"3f2504e0-4f89-41d3-9a0c-0305e82c3301", b"a" * 64, b"trace.1234"])
def test_a_well_formed_request_id_is_taken(given):
    """Whoever calls can find the request in the log by an id of its own."""
    assert notes.begin(given).request_id == given.decode()


@pytest.mark.parametrize(
    "given",
    [
        None,
        b"",
        b"short",
        b"a" * 65,
        b"with blank",
        b"line\nbreak",
        b"-leading",
        b"reco_4f0q2m8z1k7c_secret",
        b"\xff" * 9,
    ],
)
def test_anything_else_is_replaced(given):
    """Nothing that could be a key, or break a line of a log, is taken for an id; a new one is made each time."""
    first, second = notes.begin(given).request_id, notes.begin(given).request_id
    assert len(first) == 32
    assert first != second


# --------------------------------------------------------------------------------------------------------- the breaker


def test_a_breaker_lets_one_call_try_after_its_pause():
    """Closed, open for the pause, then one try at a time, until one is answered."""
    clock = Clock()
    heard: list[State] = []
    breaker = Breaker(5.0, heard.append, clock.now)
    assert breaker.may_ask()
    assert breaker.may_ask()
    breaker.failed()
    assert not breaker.may_ask()
    clock.at += 5.0
    assert [breaker.may_ask() for _ in range(3)] == [True, False, False]
    breaker.failed()
    assert not breaker.may_ask()
    clock.at += 5.0
    assert breaker.may_ask()
    breaker.answered()
    assert breaker.may_ask()
    assert heard == [State.OPEN, State.HALF_OPEN, State.OPEN, State.HALF_OPEN, State.CLOSED]


# ----------------------------------------------------------------------------------------------------------- suspicions


def walk(suspicions, paths):
    for path in paths:
        suspicions.asked(path, "203.0.113.7", "key")


def test_who_asks_for_each_item_once_is_suspected_and_a_shop_is_not(capfd):
    """Nine in ten different ones within the window: counted and told; repeats, or the same over days, are not."""
    configure_logs("warning", "json")
    metrics, clock = Metrics(), Clock()
    suspicions = Suspicions(metrics, 10, clock.now)
    walk(suspicions, [f"/item/{number % 5}" for number in range(100)])  # as a shop asks
    for number in range(100):  # slowly enough
        clock.at += WINDOW_SECONDS / 5
        walk(suspicions, [f"/item/{number}"])
    assert value(metrics, "recs_scraping_suspected_total") == 0
    clock.at += WINDOW_SECONDS * 2
    walk(suspicions, [f"/item/{number}" for number in range(10)])
    assert value(metrics, "recs_scraping_suspected_total") == 1
    told = json.loads(capfd.readouterr().err)
    assert told["event"] == "scraping_suspected"
    assert (told["key_id"], told["address"], told["level"]) == ("key", "203.0.113.7", "warning")
    assert {"timestamp", "service", "version"} <= told.keys()


def test_scraping_is_not_looked_for_when_it_is_turned_off():
    """0: off."""
    metrics = Metrics()
    walk(Suspicions(metrics, 0), map(str, range(2000)))
    assert value(metrics, "recs_scraping_suspected_total") == 0


def test_the_same_is_told_once_a_minute_and_counted_each_time(capfd):
    """A flood of wrong keys does not flood the log; the next event says how many there were."""
    configure_logs("warning", "json")
    metrics, clock = Metrics(), Clock()
    suspicions = Suspicions(metrics, 0, clock.now)
    for _ in range(50):
        suspicions.refused("key_invalid", "203.0.113.7", None)
    clock.at += 60
    suspicions.refused("key_invalid", "203.0.113.7", None)
    for number in range(1000):
        suspicions.exceeded(f"203.0.113.{number}", None)
    events = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [(one["event"], one["times"]) for one in events[:2]] == [("key_refused", 1), ("key_refused", 50)]
    assert value(metrics, "recs_auth_failures_total", reason="key_invalid") == 51
    assert value(metrics, "recs_ratelimit_rejections_total") == 1000
    assert len(suspicions._told) <= 256


# ------------------------------------------------------------------------------------------------------------------ log


def test_an_error_in_a_json_log_is_one_line_without_local_variables(capfd):
    """A trace is told, and what the variables held is not: they may hold keys."""
    configure_logs("warning", "json")

    def fail(secret):
        raise ZeroDivisionError("broken" + secret[:0])

    import structlog  # noqa: PLC0415 - after its configuration

    try:
        fail("planted-" + "secret")
    except ZeroDivisionError:
        structlog.get_logger().exception("failed")
    (line,) = capfd.readouterr().err.splitlines()
    told = json.loads(line)
    assert "ZeroDivisionError: broken" in told["exception"]
    assert "planted-secret" not in line
    assert sys.exc_info() == (None, None, None)
