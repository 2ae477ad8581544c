"""Promise of docs/reference/keys.md: it has every key there is in Redis, each once, with its type and its end."""

import asyncio
import re
from pathlib import Path

import redis

from reco.api.limits import RateLimit
from reco.api.metrics import Metrics
from reco.settings import Settings, load_settings
from reco.snapshot.hiding import hidden_key
from reco.snapshot.keys import TRENDING, Keys
from reco.storage.redis_service import ServiceRedis
from reco_pipeline_tests.servers import port_of
from reco_pipeline_tests.shop import ROOT
from reco_pipeline_tests.snapshot_lake import SHOP, write_tables

PAGE = (ROOT / "docs" / "reference" / "keys.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(\{\S+)` \| ([a-z ]+) \| [^|]+ \| ([^|]+) \|$", re.MULTILINE)
TYPES = {"string": "string", "hash": "hash", "list": "list"}
BASKETS = [{"p", "w"}, {"p", "w"}, {"p"}]


def test_every_key_is_in_the_reference_and_no_other(tmp_path: Path, client: redis.Redis) -> None:
    """What a publish and a counted caller leave is described by one row each; no row is of a key that nobody makes."""
    rows = {_pattern(key): (key, kind, end) for key, kind, end in ROW.findall(PAGE)}
    tables = write_tables(tmp_path / "lake", BASKETS, names={"p": "PID"}, categories={"p": "gas"})
    sid = tables.publish(client).snapshot_id
    _count(load_settings(home=tmp_path, namespace=SHOP, redis_url=f"redis://127.0.0.1:{port_of(client)}/0"))
    met = set()
    for key in client.scan_iter():
        ((row, kind, end),) = [row for pattern, row in rows.items() if pattern.fullmatch(key.decode())]
        met.add(row)
        assert client.type(key) == TYPES[kind].encode(), row
        assert (client.ttl(key) > 0) is ("after" in end), row
        assert (sid in key.decode()) is ("with its snapshot" in end), row
    keys = Keys(SHOP)
    made_elsewhere = (keys.lease, keys.key(sid, TRENDING), hidden_key(SHOP).encode())
    for key in made_elsewhere:
        ((row, _, _),) = [row for pattern, row in rows.items() if pattern.fullmatch(key.decode())]
        met.add(row)
    assert met == {row for row, _, _ in rows.values()}


def _pattern(key: str) -> re.Pattern[str]:
    """A row as the keys that it is of; a caller may be told in several parts."""
    parts = re.split(r"(\{\w+\})", key)
    return re.compile("".join(".+" if one == "{caller}" else "[^:]+" if one[:1] == "{" else one for one in parts))


def _count(settings: Settings) -> None:
    async def counted(connected: ServiceRedis) -> bool:
        limit = RateLimit(connected, settings.namespace, 5, Metrics(), answer_seconds=60)
        found = await limit.count("address", "one")
        await connected.close()
        return found is not None

    with ServiceRedis(settings) as connected:
        assert asyncio.run(counted(connected))
