"""How often the same is tried by itself, and when: counted from the records of Dagster, with pauses that grow.

Belongs here: the tags of runs that are tried again, counting them, and which failures trying again may mend. Does not
belong here: what is wanted (`reco_pipeline.automation`, `reco_pipeline.upkeep`), or what is told of it
(`reco_pipeline.telling`).
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import dagster as dg
from dagster._core.execution.plan.objects import StepFailureData

from reco.errors import DependencyUnavailable, error_names
from reco_pipeline.pending import NOT_REPEATED

KIND, SUBJECT, ATTEMPT = "reco/automation", "reco/subject", "reco/attempt"
FIRST_PAUSE_SECONDS = 15
PAUSE_FACTOR = 4
"""Before the second attempt 15 s, then four times as long each time: four attempts outlast five minutes."""
UPKEEP = "upkeep"
UPKEEP_ATTEMPTS = 7
"""Of what keeps the shop: with the same pauses seven attempts outlast five and a half hours."""
UPKEEP_TAGS = {KIND: UPKEEP, **NOT_REPEATED}
UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
FAILED = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


@dataclass(frozen=True)
class Wanted:
    """What a look came to: at most one run, or the reason why there is none; and what it saw of unknown files."""

    run: dg.RunRequest | None
    why: str
    seen: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """A run that failed: what it was for, and when it ended."""

    kind: str
    subject: str
    ended_at: float

    @classmethod
    def of(cls, record: dg.RunRecord) -> Self:
        """The failure that a run left; a run without a subject is the first attempt at one of its own."""
        run = record.dagster_run
        ended = record.end_time or record.update_timestamp.replace(tzinfo=dt.UTC).timestamp()
        return cls(run.tags[KIND], run.tags.get(SUBJECT, ""), ended)


@dataclass(frozen=True)
class Work:
    """What a run is for: `subject` is what its attempts are counted by, `content` what exactly it takes."""

    job: str
    kind: str
    subject: str
    content: str = ""


@dataclass(frozen=True)
class Patience:
    """How often the same is tried, and when; a stubborn look asks neither."""

    instance: dg.DagsterInstance
    attempts: int
    stubborn: bool
    now: dt.datetime
    by_hand: str = "`reco run`"

    def spent(self, before: Sequence[Failure]) -> bool:
        """Whether this was tried often enough."""
        return not self.stubborn and len(before) >= self.attempts

    def refusal(self, job: str, before: Sequence[Failure]) -> str | None:
        """Why there is no further attempt now, if so."""
        if self.spent(before):
            return f"Job {job} failed {len(before)} times on this: see its runs, then {self.by_hand}."
        if not before or self.stubborn:
            return None
        pause = FIRST_PAUSE_SECONDS * PAUSE_FACTOR ** (len(before) - 1)
        rest = before[0].ended_at + pause - self.now.timestamp()
        return f"Job {job} failed; attempt {len(before) + 1} is due in {rest:.0f} s." if rest > 0 else None

    def attempt(
        self,
        work: Work,
        before: Sequence[Failure],
        tags: Mapping[str, str] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> Wanted:
        """The run of the next attempt, unless there were enough or its time has not come."""
        refusal = self.refusal(work.job, before)
        if refusal:
            return Wanted(None, refusal)
        number = str(len(before) + 1)
        tags = {KIND: work.kind, SUBJECT: work.subject, **NOT_REPEATED, **(tags or {})}
        # Dagster never starts a second run of one key, whatever became of the first. A key only keeps one request from
        # becoming two runs, so each counts the runs there were.
        runs = self.instance.get_runs_count(dg.RunsFilter(tags={KIND: work.kind, SUBJECT: work.subject}))
        request = dg.RunRequest(
            run_key=f"{work.kind}:{work.subject}:{work.content}:{runs + 1}",
            job_name=work.job,
            tags={**tags, ATTEMPT: number},
            run_config=config,
        )
        return Wanted(request, f"Attempt {number} of job {work.job}.")


def upkeep_key(what: str, job: str) -> str:
    """What of the failures of such a job is told once: all of them, until one succeeds."""
    return f"{what}:{job}:{UPKEEP}"


def may_pass(steps: Sequence[StepFailureData]) -> bool:
    """Whether what failed these steps may be over by itself: a server that is away, a killed process, the unforeseen.

    What we know to be as it is stays so when it is tried again: a verdict, such as that a backup is damaged, or a
    setting that is wrong.
    """
    return all(_passes(one) for one in steps)


def _passes(failed: StepFailureData) -> bool:
    if failed.user_failure_data is not None:  # a step that says it of itself: `dg.Failure`
        return False
    error, ours, away = failed.error, error_names(), error_names(DependencyUnavailable)
    while error is not None:
        if error.cls_name in ours:
            return error.cls_name in away
        error = error.cause
    return True
