"""What all checks share: their specs from the catalogue and the form of a result.

Does not belong here: anything only one check needs.
"""

import warnings
from collections.abc import Mapping, Sequence

import dagster as dg

from assets.common import offenders
from reco.audit.catalogue import Weight, entry

SHOWN = 20
Figure = float | str | dg.MetadataValue | None


def spec(asset: str, name: str, partitions_def: dg.PartitionsDefinition | None = None) -> dg.AssetCheckSpec:
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


def rounded(figures: Mapping[str, Figure]) -> dict[str, Figure]:
    """The figures that have a value, as precise as people read them."""
    return {
        name: round(value, 6) if isinstance(value, float) else value
        for name, value in figures.items()
        if value is not None
    }


def severity(asset: str, name: str) -> dg.AssetCheckSeverity:
    """WARN for poor data, ERROR for a broken invariant."""
    poor = entry(asset, name).weight is Weight.WARNING
    return dg.AssetCheckSeverity.WARN if poor else dg.AssetCheckSeverity.ERROR
