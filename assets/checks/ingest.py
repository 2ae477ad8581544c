"""The checks of all drops and their lines.

What judges a drop warns as long as that drop feeds the model: retract it, or raise the limit. Only `quarantine_steady`
looks at the newest batch alone, because a jump is news once. One scan of the stored lines serves all of them. Does not
belong here: the rules and limits (`reco.audit.verdict`), or the verdict by partition (`assets.checks.partitions`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict

import dagster as dg

from assets.checks import recent
from assets.checks.common import result, sentence, spec, weighed
from reco.audit.quality import quality_score, quarantine_rates
from reco.audit.verdict import DropVerdict, Kind, column_completeness, column_validity
from reco.model.checks import check_key_nulls
from reco.orders.drops import ORDER_LINES, QUARANTINED_LINES
from reco.orders.ledger import DropLedger, DropStatus
from reco.orders.verdicts import KEY_COLUMNS, drop_verdicts, newest_batch, quality_limits
from reco.storage.lake import Lake
from resources.home import DatabaseResource, LakeResource, SettingsResource

RECONCILE, USABLE, KEYS = "lines_reconcile", "drops_usable", "key_fields_present"
SCORE, COMPLETE, DUPLICATES, DATES = "quality_score", "columns_complete", "few_duplicates", "dates_sane"
VALID = "values_valid"
RATE, STEADY = "quarantine_rate", "quarantine_steady"


@dg.asset_check(asset=ORDER_LINES, blocking=True, description=spec(ORDER_LINES, RECONCILE).description)
def lines_reconcile(database: DatabaseResource) -> dg.AssetCheckResult:
    """Compares the count of records in the bytes with the rows in the lake, and what was replayed with both."""
    ledger = database.ledger()
    drops, wrong = ledger.drops(status=DropStatus.INGESTED), ledger.imbalances()
    return result(
        ORDER_LINES,
        RECONCILE,
        passed=not wrong,
        found=wrong[0].message if wrong else f"Every line of {len(drops)} drops is accounted for.",
        figures={
            "drops": len(drops),
            "drops_unbalanced": len(wrong),
            **{
                name: sum(getattr(drop, name) or 0 for drop in drops)
                for name in ("lines_read", "lines_accepted", "lines_excluded", "lines_quarantined", "lines_open")
            },
            "lines_replayed": sum(replay.lines_settled for drop in drops for replay in drop.replays),
        },
        worst=[asdict(one) for one in wrong],
    )


@dg.multi_asset_check(
    specs=[
        *(spec(ORDER_LINES, name) for name in (USABLE, KEYS, SCORE, COMPLETE, VALID, DUPLICATES, DATES, *recent.NAMES)),
        *(spec(QUARANTINED_LINES, name) for name in (RATE, STEADY)),
    ],
    can_subset=True,
)
def drops_and_lines(
    context: dg.AssetCheckExecutionContext,
    database: DatabaseResource,
    lake: LakeResource,
    settings: SettingsResource,
) -> Iterator[dg.AssetCheckResult]:
    """Judges every drop of the ledger from its counts and one scan of its stored lines; looks again at the newest."""
    ledger, store, known = database.ledger(), lake.open(), settings.load()
    verdicts = drop_verdicts(ledger, store, quality_limits(known))
    makers: dict[str, Callable[[], dg.AssetCheckResult]] = {
        USABLE: lambda: _usable(ledger),
        KEYS: lambda: _keys(verdicts, store),
        SCORE: lambda: _score(verdicts),
        COMPLETE: lambda: _complete(verdicts),
        VALID: lambda: _valid(verdicts),
        DUPLICATES: lambda: _duplicates(verdicts),
        DATES: lambda: _dates(verdicts),
        RATE: lambda: _rate(verdicts, ledger),
        STEADY: lambda: _steady(newest_batch(verdicts)),
        **recent.makers(verdicts, store, known),
    }
    for key in sorted(context.selected_asset_check_keys):
        yield weighed(makers[key.name](), known)


def _usable(ledger: DropLedger) -> dg.AssetCheckResult:
    failed = ledger.drops(status=DropStatus.FAILED)
    return result(
        ORDER_LINES,
        USABLE,
        passed=not failed,
        found=f"{len(failed)} drops cannot be used; first: {failed[0].error}" if failed else "No drop failed.",
        figures={"drops_failed": len(failed)},
        worst=[{"key": d.key, "name": d.name, "error": d.error or ""} for d in failed],
    )


def _keys(verdicts: Sequence[DropVerdict], lake: Lake) -> dg.AssetCheckResult:
    lines = sum(v.facts.contents.lines for v in verdicts)
    nulls = {column: lines - sum(v.facts.contents.present[column] for v in verdicts) for column in KEY_COLUMNS}
    parts = [lake.existing(ORDER_LINES, v.facts.key) for v in verdicts]
    return result(
        ORDER_LINES,
        KEYS,
        passed=not any(nulls.values()),
        found=f"{sum(nulls.values())} nulls in the key columns of {lines} lines.",
        figures={"lines": lines, **{f"nulls/{column}": count for column, count in nulls.items()}},
        worst=check_key_nulls(parts, KEY_COLUMNS).offenders if any(nulls.values()) else (),
    )


def _score(verdicts: Sequence[DropVerdict]) -> dg.AssetCheckResult:
    low = [v for v in verdicts if v.of(Kind.SCORE)]
    total = quality_score(*_counts(verdicts))
    return result(
        ORDER_LINES,
        SCORE,
        passed=not low,
        found=sentence(low, Kind.SCORE, f"Quality score {total:.2f} over {len(verdicts)} drops."),
        figures={"quality_score": total, "drops": len(verdicts), "drops_below_limit": len(low)},
        worst=[
            {"drop": v.facts.name, "quality_score": v.quality_score, "quarantined": v.facts.quarantined} for v in low
        ],
    )


def _complete(verdicts: Sequence[DropVerdict]) -> dg.AssetCheckResult:
    shares = column_completeness([v.facts for v in verdicts])
    wrong = [v for v in verdicts if v.of(Kind.COMPLETENESS)]
    words = ", ".join(f"{column} {share:.1%}" for column, share in shares.items()) or "no drop has an optional column"
    return result(
        ORDER_LINES,
        COMPLETE,
        passed=not wrong,
        found=sentence(wrong, Kind.COMPLETENESS, f"Lines with a value: {words}."),
        figures={
            **{f"completeness/{column}": share for column, share in shares.items()},
            "drops_incomplete": len(wrong),
        },
        worst=[{"drop": v.facts.name, **{c: f"{share:.2%}" for c, share in v.completeness.items()}} for v in wrong],
    )


def _valid(verdicts: Sequence[DropVerdict]) -> dg.AssetCheckResult:
    wrong = [v for v in verdicts if v.of(Kind.VALIDITY)]
    validity = column_validity([v.facts for v in verdicts])
    words = ", ".join(f"{column} {share:.2%}" for column, share in validity.items())
    figures: dict[str, float | str | None] = {f"validity/{name}": share for name, share in validity.items()}
    return result(
        ORDER_LINES,
        VALID,
        passed=not wrong,
        found=sentence(wrong, Kind.VALIDITY, f"Valid values: {words}." if words else "Every value is valid."),
        figures={"least_validity": min(validity.values(), default=1.0), **figures},
        worst=[{"drop": v.facts.name, "problem": one.message} for v in wrong for one in v.of(Kind.VALIDITY)],
    )


def _duplicates(verdicts: Sequence[DropVerdict]) -> dg.AssetCheckResult:
    wrong = [v for v in verdicts if v.of(Kind.DUPLICATES)]
    read, repeats = sum(v.facts.read for v in verdicts), sum(v.facts.duplicates for v in verdicts)
    rate = repeats / read if read else 0.0
    return result(
        ORDER_LINES,
        DUPLICATES,
        passed=not wrong,
        found=sentence(wrong, Kind.DUPLICATES, f"{repeats} of {read} lines repeat another exactly ({rate:.2%})."),
        figures={"duplicate_rate": rate, "lines_duplicate": repeats, "drops_above_limit": len(wrong)},
        worst=[
            {"drop": v.facts.name, "duplicate_rate": v.duplicate_rate, "lines_duplicate": v.facts.duplicates}
            for v in wrong
        ],
    )


def _dates(verdicts: Sequence[DropVerdict]) -> dg.AssetCheckResult:
    wrong = [v for v in verdicts if v.of(Kind.DATES)]
    ranges = [(v.facts.contents.first_ordered_at, v.facts.contents.last_ordered_at) for v in verdicts]
    firsts, lasts = [a for a, _ in ranges if a is not None], [b for _, b in ranges if b is not None]
    sane = f"Orders from {min(firsts)} to {max(lasts)} (UTC)." if firsts and lasts else "No line has a time."
    return result(
        ORDER_LINES,
        DATES,
        passed=not wrong,
        found=sentence(wrong, Kind.DATES, sane),
        figures={
            "drops_with_wrong_dates": len(wrong),
            "span_days": (max(lasts) - min(firsts)).days if firsts and lasts else None,
            "first_ordered_at": str(min(firsts)) if firsts else None,
            "last_ordered_at": str(max(lasts)) if lasts else None,
        },
        worst=[{"drop": v.facts.name, "problem": one.message} for v in wrong for one in v.of(Kind.DATES)],
    )


def _rate(verdicts: Sequence[DropVerdict], ledger: DropLedger) -> dg.AssetCheckResult:
    rates = quarantine_rates(ledger.drops(status=DropStatus.INGESTED))
    wrong = {v.facts.key for v in verdicts if v.of(Kind.QUARANTINE)}
    above = [drop for drop in rates.drops if drop.key in wrong]
    return result(
        QUARANTINED_LINES,
        RATE,
        passed=not above,
        found=f"{rates.quarantined} of {rates.read} lines quarantined ({rates.rate:.2%}); "
        f"{len(above)} of {len(rates.drops)} drops above the limit.",
        figures={
            "quarantine_rate": rates.rate,
            "lines_quarantined": rates.quarantined,
            "drops_above_limit": len(above),
            "reasons": dg.MetadataValue.json(rates.reasons),
        },
        worst=[asdict(drop) for drop in above],
    )


def _steady(newest: Sequence[DropVerdict]) -> dg.AssetCheckResult:
    jumped = [v for v in newest if v.of(Kind.JUMP)]
    read, quarantined = _counts(newest)
    rate = quarantined / read if read else 0.0
    recent = next((v.recent_rate for v in newest if v.recent_rate is not None), None)
    past = "too few drops came before" if recent is None else f"{recent:.2%} in the drops before"
    return result(
        QUARANTINED_LINES,
        STEADY,
        passed=not jumped,
        found=sentence(jumped, Kind.JUMP, f"{rate:.2%} of the newest lines quarantined; {past}."),
        figures={"newest_rate": rate, "recent_rate": recent, "drops": len(newest), "drops_jumped": len(jumped)},
        worst=[
            {"drop": v.facts.name, "quarantine_rate": v.quarantine_rate, "recent_rate": v.recent_rate} for v in jumped
        ],
    )


def _counts(verdicts: Sequence[DropVerdict]) -> tuple[int, int]:
    return sum(v.facts.read for v in verdicts), sum(v.facts.quarantined for v in verdicts)
