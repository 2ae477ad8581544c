"""The evaluation assets: how often each score finds an item that was taken out of a later order, and which is in force.

The score is chosen before the pairs are counted, since those that are kept depend on it; what came out is evaluated
after. Does not belong here: the protocol and the figures (`reco.model.evaluation`), or what the gate makes of them.
"""

import datetime as dt

import dagster as dg

from assets.common import MODEL, OWNERS, Metadata, table_metadata
from assets.model import similar_items
from assets.tables import definition_metadata, markdown_table
from reco.model.choice import SCORE_CHOICE
from reco.model.evaluation.choosing import make_choice, record_choice
from reco.model.evaluation.table import MODEL_EVALUATION, Evaluation, make_evaluation
from reco.model.scores import AUTO
from reco.orders.orders import ORDERS
from reco.snapshot.quality import served_scores
from resources.home import DatabaseResource, LakeResource, RedisResource, SettingsResource

_SHOWN = (
    *("hit_rate", "hit_rate_error", "ndcg", "ndcg_error", "mrr", "mrr_error"),
    *("repeat_rate", "explore_rate", "coverage", "novelty", "popularity_bias"),
)


@dg.asset(
    name=SCORE_CHOICE,
    deps=[ORDERS],
    group_name=MODEL,
    kinds={"numpy", "parquet"},
    owners=OWNERS,
    code_version="1",
    metadata=definition_metadata(SCORE_CHOICE),
)
def score_choice(
    context: dg.AssetExecutionContext,
    lake: LakeResource,
    settings: SettingsResource,
    redis: RedisResource,
    database: DatabaseResource,
) -> dg.MaterializeResult:
    """The score in force and why: the configured one, or with RECO_SCORE=auto the best one for these orders."""
    store, known = lake.open(), settings.load()
    with redis.client() as client:
        served = served_scores(client, known.namespace)
    choice, found, digest = make_choice(store, served, known)
    if known.score == AUTO:
        record_choice(database.ledger().engine, choice, run_id=context.run.run_id, now=dt.datetime.now(dt.UTC))
    return dg.MaterializeResult(
        metadata={
            **table_metadata(store.path(SCORE_CHOICE), len(found.entrants)),
            "score": choice.scores.score,
            "why": choice.reason,
            "score_settings": dg.MetadataValue.json(choice.scores.as_dict()),
            **({"contenders": _table(found)} if found.entrants else {}),
        },
        data_version=dg.DataVersion(digest),
    )


@dg.asset(
    name=MODEL_EVALUATION,
    deps=[ORDERS, similar_items],
    group_name=MODEL,
    kinds={"numpy", "parquet"},
    owners=OWNERS,
    code_version="1",
    metadata=definition_metadata(MODEL_EVALUATION),
)
def model_evaluation(lake: LakeResource, settings: SettingsResource, redis: RedisResource) -> dg.MaterializeResult:
    """All scores at the same questions: an item hidden in newer orders, to be found from older ones; best first."""
    store, known = lake.open(), settings.load()
    with redis.client() as client:
        served = served_scores(client, known.namespace)
    found, digest = make_evaluation(store, served, known)
    return dg.MaterializeResult(
        metadata={**table_metadata(store.path(MODEL_EVALUATION), len(found.entrants)), **_figures(found)},
        data_version=dg.DataVersion(digest),
    )


def _figures(found: Evaluation) -> Metadata:
    """Numbers, which the UI plots over time, and all contenders as a table."""
    if found.skipped:
        return {"skipped": found.skipped}
    mine = found.entrant(found.configured)
    return {
        "champion": found.champion,
        "configured": found.configured,
        "questions": mine.figures.questions,
        "orders": found.orders,
        "items": found.items,
        "split": "newest orders" if found.by_time else "random orders: none has a time",
        **{name: value for name in _SHOWN if (value := getattr(mine.figures, name)) is not None},
        **{f"{found.metric}/{one.contender}": one.metric(found.metric) for one in found.entrants},
        "contenders": _table(found),
    }


def _table(found: Evaluation) -> dg.MetadataValue:
    rows = [
        [one.contender, *(getattr(one.figures, name) for name in _SHOWN), one.ahead, one.ahead_error]
        for one in found.entrants
    ]
    return markdown_table(["contender", *_SHOWN, "ahead", "ahead_error"], rows)
