import asyncio
import datetime as dt
import json
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from pydantic import ValidationError
from starlette.datastructures import Headers

from reco.api import documents, item_documents, problems, questions
from reco.api.app import ended
from reco.api.codes import CODES
from reco.api.edge import OtherOrigins, is_loopback
from reco.api.item_documents import HideRequest
from reco.api.keyring import Refusal
from reco.errors import DatabaseUnavailable, OrdersUnavailable, RedisUnavailable, SnapshotDamaged, SnapshotNotFound
from reco.snapshot.source import MemorySource
from reco_pipeline_tests.openapi_document import FROZEN, differences, made_document

UNAVAILABLE = (RedisUnavailable, DatabaseUnavailable, OrdersUnavailable, SnapshotNotFound, SnapshotDamaged)
PACKAGE = Path(problems.__file__).parent
PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    return made_document(tmp_path_factory.mktemp("home"))


def operations(document):
    """Method, path and what is told of each."""
    return [(method, path, one) for path, ways in document["paths"].items() for method, one in ways.items()]


def test_the_page_of_the_api_names_every_route_parameter_and_field(document):
    """What /openapi.json offers stands in docs/api.md."""
    page = PAGE.read_text(encoding="utf-8")
    assert [path for path in document["paths"] if path not in page] == []
    fields = [
        name
        for model in ("Recommendation", "Basket")
        for name in document["components"]["schemas"][model]["properties"]
    ]
    assert [name for name in fields if name not in page] == []


def test_the_page_of_the_api_names_every_code():
    """A program that acts on a code finds it in the documents, with its status."""
    rows = re.findall(r"^\| ([\d, ]+) \| (.+?) \|", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    told = {
        (int(status), code)
        for one, codes in rows
        for status in one.split(",")
        for code in re.findall(r"`(\w+)`", codes)
    }
    assert told == {(status, code) for code, one in CODES.items() for status in one.statuses}


def test_every_answer_has_an_example_of_its_form(document):
    """What /openapi.json shows is what the service gives: each answer and each problem is valid for its model."""
    models = {**vars(documents), **vars(item_documents)}
    examples = document["components"]["examples"]
    for method, path, one in operations(document):
        for status, answer in one["responses"].items():
            if status == "304":
                assert "content" not in answer
            elif status < "300":
                content = answer["content"]["application/json"]
                models[content["schema"]["$ref"].rpartition("/")[2]].model_validate(content["example"], strict=True)
            else:
                told = answer["content"][problems.MEDIA_TYPE]
                assert told["schema"]["$ref"].endswith("/Problem")
                for code, named in told["examples"].items():
                    value = examples[named["$ref"].rpartition("/")[2]]["value"]
                    problems.Problem.model_validate(value, strict=True)
                    assert (value["status"], value["code"]) == (int(status), code), (method, path)


def test_every_parameter_and_body_has_an_example(document):
    """Whoever reads a route sees what to write; bodies are valid for their models."""
    models = {**vars(questions), **vars(item_documents)}
    without = [
        (path, one["name"])
        for _, path, route in operations(document)
        for one in route.get("parameters", ())
        if not one["schema"].get("examples")
    ]
    assert without == []
    bodies = [
        one["requestBody"]["content"]["application/json"] for *_, one in operations(document) if "requestBody" in one
    ]
    assert len(bodies) == 2
    for content in bodies:
        name = content["schema"]["$ref"].rpartition("/")[2]
        for example in document["components"]["schemas"][name]["examples"]:
            models[name].model_validate(example)


def test_every_answer_that_is_kept_tells_of_304_and_its_etag(document):
    """The routes with an ETag, and no others, take If-None-Match and say what comes then."""
    told = {path for method, path, one in operations(document) if "304" in one["responses"]}
    assert told == {"/api/v1/popular-items", "/api/v1/trending-items", "/api/v1/similar-items/{item}"}
    for _, path, one in operations(document):
        condition = [field for field in one.get("parameters", ()) if field["name"] == "If-None-Match"]
        assert bool(condition) == (path in told)
        assert ("ETag" in one["responses"].get("304", {"headers": ()})["headers"]) == (path in told)


def test_the_document_is_the_frozen_one(document):
    """A change of the API is seen here, place by place, before anybody's client sees it."""
    frozen = json.loads(FROZEN.read_text(encoding="utf-8"))
    changed = differences(frozen, document)
    assert not changed, "\n".join(["the API differs from docs/openapi.json; if that is wanted: make openapi", *changed])


def test_a_difference_is_named():
    """What is gone, new and other is told with its place and both values."""
    before = {"paths": {"/a": {"get": [1, 2]}, "/b": {}}, "same": None}
    after = {"paths": {"/a": {"get": [1, 3]}, "/c": {}}, "same": None}
    assert differences(before, after) == ["- paths /b: {}", "+ paths /c: {}", "~ paths /a get[1]: 2 -> 3"]
    assert differences(before, before) == []


def test_every_code_that_is_told_is_in_the_closed_list():
    """No problem document has a code that `/problems` does not explain, and each is of its status."""
    told = {(status, error.code) for error, status in problems.OF_ERROR.items()}
    told |= {*problems.OF_STATUS.items()}
    told |= {(401, str(why)) for why in Refusal}
    told |= {(503, error.code) for error in UNAVAILABLE}
    for file in PACKAGE.glob("*.py"):
        made = re.findall(r"problem\(\s*(\d{3}),\s*\"(\w+)\"", file.read_text(encoding="utf-8"))
        told |= {(int(status), code) for status, code in made}
    assert {(status, code) for status, code in told if status not in CODES[code].statuses} == set()
    assert {code for _, code in told} == set(CODES)


@pytest.mark.parametrize(
    ("host", "ours"),
    [("localhost", True), ("Localhost.", True), ("127.8.9.1", True), ("[::1]", True), ("::1", True)]
    + [(host, False) for host in ("", "localhost.shop.example", "192.168.0.1", "::", "2130706433", "127.1")],
)
def test_what_counts_as_the_loopback(host, ours):
    """`localhost` and addresses of the loopback as they are written, and nothing that only looks like it."""
    assert is_loopback(host) is ours


def test_values_in_memory_answer_like_redis():
    """A key or a field that is not there, or is of another kind, reads as None."""
    source = MemorySource({b"text": b"1", b"hash": {b"7": b"seven"}})
    commands = [("GET", b"text"), ("GET", b"hash"), ("GET", b"no"), ("HGET", b"hash", b"7"), ("HGET", b"text", b"7")]
    assert source.fetch(commands) == [b"1", None, None, b"seven", None]
    assert source.fetch([("HMGET", b"hash", 7, 8), ("HMGET", b"no", 7)]) == [[b"seven", None], [None]]


def test_a_lost_cancellation_does_not_keep_the_service_from_ending():
    """A task in which a library swallows a cancellation, as one of its own time-outs, is ended all the same."""

    async def deaf():
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    async def end():
        task = asyncio.create_task(deaf())
        await asyncio.sleep(0)
        await ended([task])
        return task.cancelled()

    assert asyncio.run(end()) is True


def test_the_service_is_light():
    """The API loads neither the orchestrator nor an engine of the pipeline."""
    heavy = ("dagster", "polars", "duckdb", "pandas", "pyarrow", "sqlalchemy")
    code = f"import sys, reco.api.serve; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    "change",
    [
        {"expires_at": "9999-12-31T23:59:59-14:00"},
        {"expires_at": "0001-01-01T00:00:00+14:00"},
        {"value": "a\0b"},
        {"reason": "a\0b"},
        {"reason": "a\x1b[2J"},
    ],
)
def test_a_rule_that_cannot_be_kept_is_refused(change):
    """A time that is none in UTC, and characters that no database keeps or that a terminal obeys."""
    rule = {"kind": "item", "value": "PID\nlarge", "reason": "récalled", "expires_at": "9999-12-31T23:59:59+14:00"}
    assert HideRequest.model_validate(rule).expires_at == dt.datetime(9999, 12, 31, 9, 59, 59, tzinfo=dt.UTC)
    with pytest.raises(ValidationError):
        HideRequest.model_validate(rule | change)


def test_a_refused_preflight_names_the_methods_that_are_allowed():
    """Those of the setting of the app, and no others."""

    async def nothing(scope, receive, send):
        """Never asked."""

    edge = OtherOrigins(nothing, allow_origins=["https://shop.example"], allow_methods=["GET", "POST", "DELETE"])
    asked = {"origin": "https://shop.example", "access-control-request-method": "PUT"}
    refused = json.loads(bytes(edge.preflight_response(Headers(asked)).body))
    assert "GET, POST, DELETE are allowed" in refused["hint"]
