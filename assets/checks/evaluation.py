"""The checks of the evaluation: warnings, since the gate judges for itself.

Does not belong here: the verdicts of the gate (`reco.snapshot.quality`).
"""

from collections.abc import Iterator

import dagster as dg

from assets.checks.common import result, spec, weighed
from reco.model.evaluation.table import MODEL_EVALUATION, POPULARITY, Evaluation, current_evaluation
from reco.model.scores import AUTO
from reco.settings import Settings
from reco.snapshot.quality import judge_quality, served_scores
from resources.home import LakeResource, RedisResource, SettingsResource

BEST, POPULAR, HELD = "best_score_configured", "better_than_popular", "quality_held"
ERRORS = 2.0
"""Standard errors that make a difference worth a warning."""


@dg.multi_asset_check(specs=[spec(MODEL_EVALUATION, name) for name in (BEST, POPULAR, HELD)], can_subset=True)
def evaluated_model(
    context: dg.AssetCheckExecutionContext, lake: LakeResource, settings: SettingsResource, redis: RedisResource
) -> Iterator[dg.AssetCheckResult]:
    """Reads the evaluation of what stands in the lake."""
    known = settings.load()
    with redis.client() as client:
        found = current_evaluation(lake.open(), served_scores(client, known.namespace), known)
    chosen = {key.name for key in context.selected_asset_check_keys}
    for one in (_best(found, known), _popular(found), _held(found, known)):
        if one.check_name in chosen:
            yield weighed(one, known)


def _skipped(name: str, found: Evaluation) -> dg.AssetCheckResult:
    return result(MODEL_EVALUATION, name, passed=True, found=f"Not evaluated: {found.skipped}.", figures={})


def _best(found: Evaluation, settings: Settings) -> dg.AssetCheckResult:
    if found.skipped:
        return _skipped(BEST, found)
    champion, mine = found.entrant(found.champion), found.entrant(found.configured)
    errors = max(ERRORS, settings.score_change_errors) if settings.score == AUTO else ERRORS
    return result(
        MODEL_EVALUATION,
        BEST,
        passed=champion.ahead <= errors * champion.ahead_error,
        found=f"{champion.contender} reaches a {found.metric} of {champion.metric(found.metric):.4f}, the configured "
        f"{found.configured} {mine.metric(found.metric):.4f}: {champion.ahead:+.4f} ± {champion.ahead_error:.4f}. "
        f"RECO_SCORE is {settings.score}.",
        figures={"champion": champion.contender, "ahead": champion.ahead, "ahead_error": champion.ahead_error},
    )


def _popular(found: Evaluation) -> dg.AssetCheckResult:
    if found.skipped:
        return _skipped(POPULAR, found)
    popular, mine = found.entrant(POPULARITY), found.entrant(found.configured)
    return result(
        MODEL_EVALUATION,
        POPULAR,
        passed=popular.ahead <= 0,
        found=f"Naming the most popular items reaches a {found.metric} of {popular.metric(found.metric):.4f}, "
        f"{found.configured} {mine.metric(found.metric):.4f}.",
        figures={"popularity": popular.metric(found.metric), "configured": mine.metric(found.metric)},
    )


def _held(found: Evaluation, settings: Settings) -> dg.AssetCheckResult:
    if found.skipped:
        return _skipped(HELD, found)
    verdicts = judge_quality(found, errors=settings.gate_quality_errors, share=settings.gate_min_answers)
    failed = [one for one in verdicts if not one.passed]
    return result(
        MODEL_EVALUATION,
        HELD,
        passed=not failed,
        found="; ".join(one.message for one in failed or verdicts) + ".",
        figures={one.name: one.value for one in verdicts},
    )
