"""Quality at the gate: whether a new snapshot answers about as well as what is served.

Belongs here: verdicts from an evaluation. Does not belong here: evaluating (`reco.model.evaluation`).
"""

import math

import redis

from reco.errors import SnapshotDamaged, SnapshotNotFound, UsageError
from reco.model.evaluation.table import PUBLISHED, Evaluation, current_evaluation
from reco.model.scores import ScoreSettings
from reco.orders.home import Home
from reco.snapshot.gate import Check
from reco.snapshot.store import SnapshotStore

SCORE, LISTS = "quality_kept", "lists_answer"


def served_scores(client: redis.Redis, namespace: str) -> ScoreSettings | None:
    """The score settings of the served snapshot; None where nothing is served, or not to be read by this version."""
    try:
        return ScoreSettings.from_dict(SnapshotStore(client, namespace).current().manifest["score_settings"])
    except (SnapshotNotFound, SnapshotDamaged, UsageError, KeyError):
        return None


def quality_checks(home: Home, client: redis.Redis) -> tuple[Check, ...]:
    """The verdicts on the quality of what stands in the lake; none where the gate does not look at it."""
    settings = home.settings
    if not settings.gate_quality_errors and not settings.gate_min_answers:
        return ()
    found = current_evaluation(home.lake, served_scores(client, settings.namespace), settings)
    return judge_quality(found, errors=settings.gate_quality_errors, share=settings.gate_min_answers)


def judge_quality(found: Evaluation, *, errors: float, share: float) -> tuple[Check, ...]:
    """Both verdicts.

    quality_kept: the configured score is not worse than the served one, learnt from the same orders, by more than
    `errors` standard errors of the difference. lists_answer: the lists to be published, asked the same questions, reach
    at least `share` of what that score reaches, but for the error: having seen the answers they should be better, so
    lists that fall short are not what the score made.
    """
    if found.skipped:
        return tuple(_skipped(name, found.skipped) for name in (SCORE, LISTS))
    return _score(found, errors), _lists(found, share, errors)


def _skipped(name: str, why: str) -> Check:
    return Check(name, passed=True, value=None, limit=None, message=f"not evaluated: {why}")


def _score(found: Evaluation, errors: float) -> Check:
    if not errors:
        return _skipped(SCORE, "RECO_GATE_QUALITY_ERRORS is 0")
    if found.served is None:
        return _skipped(SCORE, "nothing is served")
    served = found.entrant(found.served)
    if found.served == found.configured:
        return Check(SCORE, passed=True, value=0.0, limit=None, message=f"{found.configured}, as is served")
    limit = errors * served.ahead_error
    new, old = found.entrant(found.configured).metric(found.metric), served.metric(found.metric)
    words = (
        f"{found.configured} reaches a {found.metric} of {new:.4f} where the served {found.served} reaches {old:.4f} "
        f"(standard error of the difference {served.ahead_error:.4f}, at most {errors:g} of them may be lost)"
    )
    return Check(SCORE, served.ahead <= limit, -served.ahead, -limit, words)


def _lists(found: Evaluation, share: float, errors: float) -> Check:
    if not share:
        return _skipped(LISTS, "RECO_GATE_MIN_ANSWERS is 0")
    against = found.entrant(found.served or found.configured)
    lists = found.entrant(PUBLISHED)
    wanted, reached = against.metric(found.metric), lists.metric(found.metric)
    error = math.hypot(against.error(found.metric), lists.error(found.metric))
    part = reached / wanted if wanted else 1.0
    words = (
        f"the lists to publish reach a {found.metric} of {reached:.4f} where {against.contender} reaches {wanted:.4f} "
        f"without having seen the answers; at least {share:.0%} of it is wanted"
    )
    return Check(LISTS, part >= share or wanted - reached <= errors * error, part, share, words)
