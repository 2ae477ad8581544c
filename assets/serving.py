"""The serving asset: the model as one checked, immutable snapshot in Redis.

Does not belong here: the layout of the keys or the gate (`reco.snapshot`).
"""

import datetime as dt

import dagster as dg
from pydantic import Field

from assets.common import DAILY, OWNERS, POOL, SERVING
from assets.evaluation import model_evaluation
from assets.model import item_stats, similar_items
from reco.audit.chain import chain_head
from reco.errors import GateRefused
from reco.snapshot.release import REDIS_SNAPSHOT, release
from resources.home import DatabaseResource, RedisResource

AUDIT_HEAD = "audit_head"
"""The head of the audit trail after the publish: noted here, it proves later that no event before it is missing."""


class PublishConfig(dg.Config):
    """What a person may choose when publishing by hand."""

    force: bool = Field(
        default=False,
        description="Publish although the gate refuses: when many items or orders are gone, or the lists changed a "
        "lot, and that is meant. The manifest records it. Lines that do not add up, or tables that do "
        "not belong together, are never published.",
    )


@dg.asset(
    name=REDIS_SNAPSHOT,
    deps=[item_stats, similar_items, model_evaluation],
    group_name=SERVING,
    kinds={"redis"},
    owners=OWNERS,
    code_version="1",
    pool=POOL,
    freshness_policy=DAILY,
)
def redis_snapshot(
    context: dg.AssetExecutionContext, config: PublishConfig, database: DatabaseResource, redis: RedisResource
) -> dg.MaterializeResult:
    """The served recommendations: written under a new id, read back, gated, and made visible by one pointer."""
    with redis.client() as client, database.locked() as home:
        try:
            result = release(
                home,
                client,
                run_id=context.run.run_id,
                now=dt.datetime.now(dt.UTC),
                force=config.force,
            )
        except GateRefused as error:
            # Trying again cannot help: the same data would be refused again.
            raise dg.Failure(str(error), allow_retries=False) from error
        head = chain_head(home.ledger.engine)
    return dg.MaterializeResult(
        metadata={
            "snapshot_id": result.snapshot_id,
            "changed": result.changed,
            "redis_keys": result.keys,
            "redis_bytes": result.bytes,
            "keys_verified": result.verified,
            AUDIT_HEAD: head,
            **{f"gate/{check.name}": check.message for check in result.gate_checks},
        },
        data_version=dg.DataVersion(result.digest),
    )
