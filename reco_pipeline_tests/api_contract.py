"""What Schemathesis asks for beside its own checks: loaded by it, in a process of its own (SCHEMATHESIS_HOOKS).

Belongs here: checks over whatever is answered. Does not belong here: starting it (`integration/test_api_contract.py`).
"""

import os
from typing import Any

import schemathesis

from reco.api.codes import CODES
from reco.api.problems import MEDIA_TYPE


@schemathesis.hook("map_query")
def few_cursors(_context: Any, query: Any) -> Any:
    """A made-up cursor is refused before anything else is looked at: most questions are asked without."""
    if query and len(str(query.get("cursor", ""))) > 2:
        return {name: value for name, value in query.items() if name != "cursor"}
    return query


@schemathesis.hook("map_body")
def few_cursors_in_bodies(_context: Any, body: Any) -> Any:
    """The same of baskets."""
    return few_cursors(_context, body) if isinstance(body, dict) else body


@schemathesis.check
def every_error_is_a_problem_document(_context: Any, response: Any, _case: Any) -> None:
    """Whatever the status: the one media type, the same status inside, and a code of the closed list."""
    if response.status_code < 400:
        return
    (kind,) = response.headers["content-type"]
    assert kind == MEDIA_TYPE, f"{response.status_code} as {kind}"
    told = response.json()
    assert told["status"] == response.status_code
    assert response.status_code in CODES[told["code"]].statuses, told
    if response.status_code >= 500:
        assert (response.status_code, "retry-after" in response.headers) == (503, True), told
        assert told["code"] in {"overloaded", *os.environ.get("MAY_BE_MISSING", "").split()}, told
