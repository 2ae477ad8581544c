"""Choosing the score of a shop by its own orders.

Belongs here: when another score takes over, the table `score_choice`, and its mark in the trail. Does not belong here:
what is asked and answered (`table`), or who uses the choice (`reco.model.choice`).

A choice is made from the orders and the score that is served, before any pair is stored; both stand in its stamp, and
the same two give the same choice. Another score takes over only where it is ahead of the one in force by more than
`RECO_SCORE_CHANGE_ERRORS` standard errors of the paired differences: equally good scores do not take turns.
"""

import datetime as dt
import json
from pathlib import Path

import pyarrow.parquet as pq
import sqlalchemy as sa

from reco.audit.trail import Event, append, events, recording
from reco.model.choice import SCORE_CHOICE, Choice, candidates, note_of, scoring_rule
from reco.model.evaluation.table import EVALUATION_SCHEMA, Evaluation, compare, entrants_table
from reco.model.regression import require_compiler
from reco.model.scores import AUTO, ScoreSettings
from reco.orders.orders import ORDERS
from reco.progress import stage
from reco.settings import Settings
from reco.storage.columns import lake_errors
from reco.storage.lake import Lake, file_digest

FIRST = "cosine"
"""In force until the orders say otherwise."""


def make_choice(lake: Lake, served: ScoreSettings | None, settings: Settings) -> tuple[Choice, Evaluation, str]:
    """Makes `score_choice`: the choice, what was compared, and the digest of the file.

    Args:
        lake: has the `orders` table.
        served: the score settings of the served snapshot; None: nothing is served.
        settings: of the shop; a configured score is not compared with any.

    Raises:
        LakeError: the orders are missing or damaged.
        UsageError: the configured score cannot be computed on this machine.
    """
    with stage(SCORE_CHOICE):
        orders = lake.existing(ORDERS)
        choice, found = choose(orders, served, settings)
        with lake.replace(SCORE_CHOICE) as path, lake_errors(SCORE_CHOICE):
            table = entrants_table(found)
            table = table.replace_schema_metadata({**(table.schema.metadata or {}), **note_of(choice, settings)})
            pq.write_table(table, path, compression="zstd")
    inputs = {
        ORDERS: file_digest(orders),
        "rule": scoring_rule(settings),
        "served": json.dumps(None if served is None else served.as_dict(), sort_keys=True),
    }
    return choice, found, lake.stamp(SCORE_CHOICE, inputs).digest


def keep_choice(lake: Lake, scores: ScoreSettings, settings: Settings) -> None:
    """Puts a choice that was made before into a lake that is made anew; nothing where the score is configured."""
    if settings.score != AUTO:
        return
    choice = Choice(scores, scores.score, "as it was chosen before")
    with lake.replace(SCORE_CHOICE) as path:
        pq.write_table(EVALUATION_SCHEMA.with_metadata(note_of(choice, settings)).empty_table(), path)
    lake.stamp(SCORE_CHOICE, {"rule": scoring_rule(settings)})


def choose(orders: Path, served: ScoreSettings | None, settings: Settings) -> tuple[Choice, Evaluation]:
    """The score for these orders, with the evaluation that decided (skipped where nothing was to be decided)."""
    possible = candidates(settings)
    if settings.score == "regression":
        require_compiler()
    before = served.score if served is not None and served.score in possible else FIRST
    if settings.score != AUTO:
        reason = f"RECO_SCORE is {settings.score}"
        skipped = Evaluation(settings.evaluation_metric, 0, 0, by_time=False, skipped=reason)
        return Choice(possible[settings.score], before, reason), skipped
    found = compare(orders, possible, before, settings)
    if found.skipped:
        return Choice(possible[before], before, f"{before} stays: not evaluated, {found.skipped}"), found
    best = found.entrant(found.champion)
    name = best.contender
    least = settings.score_change_errors * best.ahead_error
    reached = f"a {found.metric} of {best.metric(found.metric):.4f} at {best.figures.questions:,} questions"
    words = f"{best.ahead:+.4f} ± {best.ahead_error:.4f} against {before}"
    if name == before:
        reason = f"{before} stays: it is the best, with {reached}"
    elif best.ahead > least:
        reason = f"{name} takes over from {before}: {reached}, {words}"
    else:
        reason = f"{before} stays: {name} has {reached}, {words}, which is not more than {least:.4f}"
        name = before
    mine = found.entrant(name)
    return Choice(possible[name], before, reason, found.metric, mine.ahead, mine.ahead_error), found


def record_choice(engine: sa.Engine, choice: Choice, *, run_id: str | None, now: dt.datetime) -> bool:
    """Leaves a mark in the trail where another score is in force than the last mark says; whether it did."""
    last = events(engine, event=Event.SCORE_CHOSEN, limit=1)
    if last and last[0].details["scores"] == choice.scores.as_dict():
        return False
    with recording(engine) as connection:
        append(connection, Event.SCORE_CHOSEN, at=now, run_id=run_id, **choice.as_dict())
    return True
