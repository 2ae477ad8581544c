"""What all checks share: their specs from the catalogue and the form of a result.

Does not belong here: anything only one check needs.
"""

import warnings
from collections.abc import Mapping, Sequence

import dagster as dg

from assets.common import offenders
from reco.audit.catalogue import Weight, entry, raised_checks
from reco.audit.verdict import DropVerdict, Kind
from reco.settings import Settings

SHOWN = 20
Figure = float | str | dg.MetadataValue | None


def spec(
    asset: str,
    name: str,
    partitions_def: dg.PartitionsDefinition | None = None,
    additional_deps: Sequence[str] = (),
) -> dg.AssetCheckSpec:
    """The spec of a check of the catalogue."""
    one = entry(asset, name)
    with warnings.catch_warnings():
        # Partitioned checks are a preview of Dagster 1.13, whose exact version is pinned; tests hold what we use of it.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.AssetCheckSpec(
            one.name,
            asset=one.asset,
            description=one.promise,
            blocking=one.weight is Weight.BLOCKING,
            partitions_def=partitions_def,
            additional_deps=list(additional_deps),
        )


def result(
    asset: str,
    name: str,
    *,
    passed: bool,
    found: str,
    figures: Mapping[str, Figure],
    worst: Sequence[Mapping[str, object]] = (),
) -> dg.AssetCheckResult:
    """A result with its figures, those that have a value, and at most 20 offenders; severe as the catalogue says."""
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=name,
        passed=bool(passed),
        severity=severity(asset, name),
        description=found,
        metadata={**rounded(figures), **offenders(worst[:SHOWN])},
    )


def weighed(one: dg.AssetCheckResult, settings: Settings) -> dg.AssetCheckResult:
    """The result, severe as this shop wants it (`RECO_ERROR_CHECKS`)."""
    assert one.asset_key is not None, "`result` names the asset"
    assert one.check_name is not None, "`result` names the check"
    return dg.AssetCheckResult(
        asset_key=one.asset_key,
        check_name=one.check_name,
        passed=one.passed,
        severity=severity(one.asset_key.to_user_string(), one.check_name, settings),
        description=one.description,
        metadata=one.metadata,
    )


def rounded(figures: Mapping[str, Figure]) -> dict[str, Figure]:
    """The figures that have a value, as precise as people read them."""
    return {
        name: round(value, 6) if isinstance(value, float) else value
        for name, value in figures.items()
        if value is not None
    }


def severity(asset: str, name: str, settings: Settings | None = None) -> dg.AssetCheckSeverity:
    """WARN for poor data, ERROR for a broken invariant and for what the settings raise to it."""
    raised = raised_checks(settings.error_checks) if settings else frozenset()
    poor = entry(asset, name).weight is Weight.WARNING and name not in raised
    return dg.AssetCheckSeverity.WARN if poor else dg.AssetCheckSeverity.ERROR


def sentence(wrong: Sequence[DropVerdict], kind: Kind, otherwise: str) -> str:
    """What is wrong with the first drop and how many others are like it; else how things stand."""
    if not wrong:
        return otherwise
    others = f" ({len(wrong) - 1} other drops too)" if len(wrong) > 1 else ""
    return f"{wrong[0].facts.name}: {wrong[0].of(kind)[0].message}{others}."
