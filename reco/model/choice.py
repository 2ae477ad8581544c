"""The score in force: the configured one, or with RECO_SCORE=auto the one that the evaluation chose for this shop.

Belongs here: what was chosen, where it stands, and who asks for it. Does not belong here: choosing
(`reco.model.evaluation.choosing`), formulas (`scores`).
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow.parquet as pq

from reco.errors import LakeError
from reco.model.regression import can_regress
from reco.model.scores import AUTO, SCORES, ScoreSettings
from reco.settings import Settings
from reco.storage.columns import lake_errors
from reco.storage.lake import Lake

SCORE_CHOICE = "score_choice"
NOTE = b"choice"
"""What a file of that table says in its metadata: the choice, with the rule it was made by."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The score in force and why.

    scores: its settings; before: the score that was in force; reason: a sentence; metric: what decided, empty where
    nothing was compared; ahead, error: by how much it was ahead of the one before at the same questions.
    """

    scores: ScoreSettings
    before: str
    reason: str
    metric: str = ""
    ahead: float = 0.0
    error: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """What stands in the table, the manifest and the trail."""
        return asdict(self) | {"scores": self.scores.as_dict()}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "Choice":
        """What `as_dict` gave."""
        return cls(**{**value, "scores": ScoreSettings.from_dict(value["scores"])})


def candidates(settings: Settings) -> dict[str, ScoreSettings]:
    """What may be in force, by score: all of them where the evaluation chooses, each with the shop's settings."""
    if settings.score != AUTO:
        return {settings.score: ScoreSettings.of(settings)}
    known = [name for name in SCORES if name != "regression" or can_regress()]
    return {name: ScoreSettings.of(settings, name) for name in known}


def scoring_rule(settings: Settings) -> str:
    """How the score comes about, as far as settings say: the score, or what is chosen from and by which figure."""
    if settings.score != AUTO:
        return str(ScoreSettings.of(settings).as_dict())
    chosen = {name: one.as_dict() for name, one in candidates(settings).items()}
    rules = {name: getattr(settings, name) for name in type(settings).model_fields if name.startswith("evaluation_")}
    return json.dumps([AUTO, settings.score_change_errors, chosen, rules], sort_keys=True)


def scores_in_force(lake: Lake, settings: Settings) -> ScoreSettings:
    """The score settings that tables are to be made with.

    Raises:
        LakeError: the score is to be chosen, and was not, or by other settings.
    """
    return ScoreSettings.of(settings) if settings.score != AUTO else read_choice(lake, settings).scores


def score_is_known(lake: Lake, settings: Settings) -> bool:
    """Whether `scores_in_force` has an answer."""
    return settings.score != AUTO or _find_choice(lake, settings) is not None


def read_choice(lake: Lake, settings: Settings) -> Choice:
    """The choice that stands in the lake, which is that of the last run.

    Raises:
        LakeError: there is none, or it was made by other settings.
    """
    path = lake.existing(SCORE_CHOICE)
    found = _find_choice(lake, settings)
    if found is None:
        raise LakeError(
            f"{path} was chosen by other settings than those of now.",
            hint="Run the job rebuild_recommendations (or `reco run`): it chooses, and makes all that comes after.",
            path=str(path),
        )
    return found


def _find_choice(lake: Lake, settings: Settings) -> Choice | None:
    path = lake.path(SCORE_CHOICE)
    if not path.is_file():
        return None
    with lake_errors(SCORE_CHOICE):
        said = (pq.read_metadata(path).metadata or {}).get(NOTE)
    found = json.loads(said) if said is not None else {}
    return Choice.from_dict(found) if found.pop("rule", None) == scoring_rule(settings) else None


def note_of(choice: Choice, settings: Settings) -> dict[bytes, bytes]:
    """The metadata of a file that holds a choice."""
    return {NOTE: json.dumps(choice.as_dict() | {"rule": scoring_rule(settings)}).encode()}
