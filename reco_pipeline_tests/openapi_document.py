"""The document of the API as this tree makes it, and the file it is frozen in.

Belongs here: making it, telling two of them apart, and writing the file (`make openapi`). Does not belong here: any
claim.
"""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reco.api.app import create_app
from reco.api.back import open_back
from reco.api.follower import Follower
from reco.api.keyring import open_ring
from reco.api.metrics import Metrics
from reco.settings import load_settings
from reco.storage.redis_service import ServiceRedis
from reco_pipeline_tests.shop import ROOT

FROZEN = ROOT / "docs" / "openapi.json"


def made_document(home: Path) -> dict[str, Any]:
    """The document, without a Redis; the home is an empty folder of its own."""
    settings, metrics = load_settings(home=home), Metrics()
    redis = ServiceRedis(settings)
    follower, back = Follower(redis, settings.namespace, metrics), open_back(settings, redis, metrics)
    app = create_app(follower, open_ring(settings, metrics), back, None, metrics, settings)
    document: dict[str, Any] = json.loads(json.dumps(app.openapi()))
    return document


def differences(frozen: Any, made: Any) -> list[str]:
    """Every place where two documents differ, one line each."""
    before, now = dict(_leaves(frozen)), dict(_leaves(made))
    gone = [f"- {place}: {before[place]!r}" for place in before if place not in now]
    new = [f"+ {place}: {now[place]!r}" for place in now if place not in before]
    both = [place for place in before if place in now and before[place] != now[place]]
    return gone + new + [f"~ {place}: {before[place]!r} -> {now[place]!r}" for place in both]


def _leaves(one: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(one, dict) and one:
        for name, inner in one.items():
            yield from _leaves(inner, f"{place} {name}".strip())
    elif isinstance(one, list) and one:
        for number, inner in enumerate(one):
            yield from _leaves(inner, f"{place}[{number}]")
    else:
        yield place, one


def written(document: Any) -> str:
    """The text of the file."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        FROZEN.write_text(written(made_document(Path(folder))), encoding="utf-8")
    print(f"{FROZEN.relative_to(ROOT)} is that of this tree")
