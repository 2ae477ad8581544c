"""The `model_evaluation` table: every contender's figures at the same questions, and who is best.

Belongs here: which contenders take part, the table and its stamp. Does not belong here: the figures (`figures`), or
what a poor one stops (`reco.snapshot.quality`).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from reco.errors import LakeError
from reco.model.baskets import Baskets
from reco.model.choice import scores_in_force
from reco.model.evaluation.answers import Answers, answer, most_popular
from reco.model.evaluation.contenders import COUNTS, learn, lists_of_table
from reco.model.evaluation.figures import Figures, difference, figures_of
from reco.model.evaluation.protocol import Protocol, Split, make_split
from reco.model.regression import can_regress
from reco.model.scores import PAIR_SCORES, ScoreSettings
from reco.model.tables import SIMILAR_ITEMS
from reco.orders.orders import ORDERS
from reco.progress import stage
from reco.settings import Settings
from reco.storage.columns import COUNT, REAL, TEXT, lake_errors
from reco.storage.lake import Lake, file_digest

MODEL_EVALUATION = "model_evaluation"
POPULARITY = "popularity"
PUBLISHED = "similar_items"
"""The contender that is the table itself, which has seen the orders it is asked about."""

EVALUATION_SCHEMA = pa.schema(
    [
        ("contender", TEXT),
        ("settings", TEXT),
        *((one.name, COUNT if one.name == "questions" else REAL) for one in fields(Figures)),
        ("ahead", REAL),
        ("ahead_error", REAL),
    ]
)


@dataclass(frozen=True, slots=True)
class Entrant:
    """One contender.

    settings: as in a manifest, None where it has none; ahead: by how much its metric is above that of the configured
    score at the same questions, with the standard error of the difference.
    """

    contender: str
    settings: Mapping[str, Any] | None
    figures: Figures
    ahead: float
    ahead_error: float

    def metric(self, name: str) -> float:
        """One of the figures."""
        found: float = getattr(self.figures, name)
        return found

    def error(self, name: str) -> float:
        """Its standard error."""
        return self.metric(f"{name}_error")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What came of an evaluation.

    entrants: best first by the metric, empty where it was skipped; configured, served, champion: names among them
    (served: None where nothing is); skipped: why nothing was evaluated, empty where it was.
    """

    metric: str
    orders: int
    items: int
    by_time: bool
    entrants: tuple[Entrant, ...] = ()
    configured: str = ""
    served: str | None = None
    champion: str = ""
    skipped: str = ""

    def entrant(self, name: str) -> Entrant:
        """A contender that took part."""
        return next(one for one in self.entrants if one.contender == name)


def evaluate(
    orders: Path,
    similar_items: Path,
    served: ScoreSettings | None,
    settings: Settings,
    scores: ScoreSettings | None = None,
) -> Evaluation:
    """Compares the configured score with the served one, with all others, with counts and with popularity.

    Each is learnt from the older of the newest `evaluation_lines` lines and asked about the newer ones; the table that
    stands is asked the same, although it has seen the answers.

    Args:
        orders: the `orders` table.
        similar_items: the table to be published.
        served: the score settings of the served snapshot; None: nothing is served.
        settings: of the shop: score, metric, size.
        scores: those in force; None: the configured ones.

    Raises:
        LakeError: a table is missing or damaged.
    """
    contenders, configured, published = _contenders(scores or ScoreSettings.of(settings), served)

    def others(split: Split) -> dict[str, Answers]:
        lists = lists_of_table(similar_items, split.learnt, split.orders > 0)
        return {POPULARITY: most_popular(split), PUBLISHED: answer(lists, split)}

    found = compare(orders, contenders, configured, settings, others)
    return found if found.skipped else replace(found, served=published)


def compare(
    orders: Path,
    contenders: Mapping[str, ScoreSettings | None],
    configured: str,
    settings: Settings,
    others: Callable[[Split], Mapping[str, Answers]] = lambda _: {},
) -> Evaluation:
    """Asks contenders the same questions, and those that `others` makes of the split; `configured` is one of the first.

    Raises:
        LakeError: a table is missing or damaged.
    """
    metric = settings.evaluation_metric
    if not settings.evaluation_lines:
        return Evaluation(metric, 0, 0, by_time=False, skipped="RECO_EVALUATION_LINES is 0")
    with lake_errors(MODEL_EVALUATION):
        baskets = Baskets.read(orders, times=True, customers=True).newest(settings.evaluation_lines)
        split = make_split(baskets, Protocol(max_questions=settings.evaluation_questions))
    asked = Evaluation(metric, len(baskets.starts), split.known, split.by_time)
    if len(split.questions) < settings.evaluation_min_questions:
        return _skip(asked, split, settings)
    answers = {name: answer(lists, split) for name, lists in learn(split.learnt, contenders).items()}
    entrants = []
    for name, given in (answers | dict(others(split))).items():
        known = contenders.get(name)
        ahead = difference(given, answers[configured], metric)
        entrants.append(Entrant(name, known.as_dict() if known else None, figures_of(given, split), *ahead))
    entrants.sort(key=lambda one: (-one.metric(metric), one.contender != configured, one.contender))
    champion = next(one.contender for one in entrants if one.settings is not None)
    return replace(asked, entrants=tuple(entrants), configured=configured, champion=champion)


def make_evaluation(lake: Lake, served: ScoreSettings | None, settings: Settings) -> tuple[Evaluation, str]:
    """Makes `model_evaluation`; also returns its digest."""
    inputs = _inputs(lake, served, settings)
    with stage(MODEL_EVALUATION), lake.replace(MODEL_EVALUATION) as path:
        scores = scores_in_force(lake, settings)
        found = evaluate(lake.existing(ORDERS), lake.existing(SIMILAR_ITEMS), served, settings, scores)
        with lake_errors(MODEL_EVALUATION):
            pq.write_table(entrants_table(found), path, compression="zstd")
    return found, lake.stamp(MODEL_EVALUATION, inputs).digest


def current_evaluation(lake: Lake, served: ScoreSettings | None, settings: Settings) -> Evaluation:
    """The evaluation of what stands in the lake against what is served: the stored one, or made now."""
    stamp = lake.read_stamp(MODEL_EVALUATION)
    if stamp is not None and stamp.inputs == _inputs(lake, served, settings):
        return _read(lake.existing(MODEL_EVALUATION))
    return make_evaluation(lake, served, settings)[0]


def _skip(asked: Evaluation, split: Split, settings: Settings) -> Evaluation:
    return Evaluation(
        asked.metric,
        asked.orders,
        asked.items,
        asked.by_time,
        skipped=f"{len(split.questions):,} questions in {asked.orders:,} orders, and "
        f"{settings.evaluation_min_questions:,} are wanted (RECO_EVALUATION_MIN_QUESTIONS)",
    )


def _contenders(
    configured: ScoreSettings, served: ScoreSettings | None
) -> tuple[dict[str, ScoreSettings | None], str, str | None]:
    """All contenders by name, and the names of the configured and the served one; equal settings take part once."""
    named: dict[str, ScoreSettings | None] = {COUNTS: None}
    # A regression takes a second to load and takes part where it is meant.
    named |= {name: ScoreSettings.of(Settings.model_construct(score=name)) for name in PAIR_SCORES}

    def name_of(settings: ScoreSettings, otherwise: str) -> str:
        known = next((name for name, one in named.items() if one == settings), None)
        if known is None:
            named[otherwise] = settings
        return known or otherwise

    if served is not None and served.score == "regression" and not can_regress():
        served = None  # another machine's: what cannot be computed here is compared with nothing
    mine = name_of(configured, f"{configured.score} as configured")
    theirs = None if served is None else name_of(served, f"{served.score} as served")
    return named, mine, theirs


def _inputs(lake: Lake, served: ScoreSettings | None, settings: Settings) -> dict[str, str]:
    chosen = {name: getattr(settings, name) for name in type(settings).model_fields if name.startswith("evaluation_")}
    return {
        ORDERS: file_digest(lake.existing(ORDERS)),
        SIMILAR_ITEMS: file_digest(lake.existing(SIMILAR_ITEMS)),
        "settings": json.dumps([chosen, scores_in_force(lake, settings).as_dict()], sort_keys=True),
        "served": json.dumps(None if served is None else served.as_dict(), sort_keys=True),
    }


def entrants_table(found: Evaluation) -> pa.Table:
    """The entrants as rows, and in the metadata the rest of the evaluation."""
    rows = [
        {
            "contender": one.contender,
            "settings": None if one.settings is None else json.dumps(dict(one.settings), sort_keys=True),
            **asdict(one.figures),
            "ahead": one.ahead,
            "ahead_error": one.ahead_error,
        }
        for one in found.entrants
    ]
    about = {name: getattr(found, name) for name in (one.name for one in fields(Evaluation)) if name != "entrants"}
    return pa.Table.from_pylist(rows, schema=EVALUATION_SCHEMA.with_metadata({"evaluation": json.dumps(about)}))


def _read(path: Path) -> Evaluation:
    with lake_errors(MODEL_EVALUATION), pq.ParquetFile(path) as file:
        table = file.read()
    about = (table.schema.metadata or {}).get(b"evaluation")
    if about is None:
        raise LakeError(
            f"{path} does not say what was evaluated.", hint="Materialize model_evaluation again.", path=str(path)
        )
    names = [one.name for one in fields(Figures)]
    entrants = tuple(
        Entrant(
            row["contender"],
            None if row["settings"] is None else json.loads(row["settings"]),
            Figures(**{name: row[name] for name in names}),
            row["ahead"],
            row["ahead_error"],
        )
        for row in table.to_pylist()
    )
    return Evaluation(**json.loads(about), entrants=entrants)
