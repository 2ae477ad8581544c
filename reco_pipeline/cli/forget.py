"""The command that forgets a customer: audit forget.

Does not belong here: what that takes (`reco_pipeline.forgetting`).
"""

import datetime as dt
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from reco_pipeline.cli.audit import home_of_command
from reco_pipeline.cli.options import JsonFlag
from reco_pipeline.cli.output import print_json, say

if TYPE_CHECKING:
    from reco.orders.forget import Remaining
    from reco.orders.journal import Plan


class Raw(StrEnum):
    """What becomes of the files as they came."""

    KEEP = "keep"
    REMOVE = "remove"


def forget(
    customer: Annotated[str, typer.Argument(help="Customer id as the shop writes it; - reads it from standard input.")],
    source: Annotated[str | None, typer.Option("--source", metavar="S", help="Only drops of this profile.")] = None,
    raw: Annotated[
        Raw, typer.Option("--raw", help="The files as they came: keep or remove those with the id.")
    ] = Raw.KEEP,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Take a customer's identity out of the home; no count changes. Says what else still holds it.

    Example: reco audit forget anna@example.com --yes
    """
    import sys

    from reco.errors import UsageError
    from reco_pipeline.forgetting import forget as forget_customer

    if customer == "-":
        customer = sys.stdin.readline().strip()
    if not customer:
        raise UsageError("No customer id is given.", hint="Give it as the shop writes it.")
    if not yes and (as_json or not sys.stdin.isatty()):
        raise UsageError("Forgetting cannot be taken back, and there is nobody to ask.", hint="Give --yes.")

    def agreed(plan: "Plan", left: "Remaining") -> bool:
        if yes:
            return True
        lines, others = sum(plan.lines.values()), sum(plan.others.values())
        say(f"{lines:,} accepted lines and {others:,} other lines in {len(plan.keys):,} drops name this customer.")
        if plan.raw:
            say(f"The files of {len(plan.raw):,} drops as they came will be removed.")
        for place in left.sentences():
            say(f"  It will still stand in {place}.")
        return typer.confirm("Take the identity out of them for good?")

    plan, left, done = forget_customer(
        home_of_command(),
        customer,
        source=source,
        remove_raw=raw is Raw.REMOVE,
        now=dt.datetime.now(dt.UTC),
        agreed=agreed,
    )
    if as_json:
        lines, others = sum(plan.lines.values()), sum(plan.others.values())
        names = {"drops": plan.keys, "lines": lines, "quarantined_lines": others, "operation": plan.operation}
        print_json({"forgotten": done, **names, "raw_removed": plan.raw, "still_in": left.sentences()})
    else:
        _tell(plan, left, done=done)


def _tell(plan: "Plan", left: "Remaining", *, done: bool) -> None:
    if done:
        lines, others = sum(plan.lines.values()), sum(plan.others.values())
        say(f"Forgotten: {lines:,} accepted lines and {others:,} other lines in {len(plan.keys):,} drops.")
        if plan.raw:
            say(f"The files of {len(plan.raw):,} drops as they came are removed.")
    else:
        say("No line of this home names this customer." if plan.empty else "Nothing was changed.")
    for place in left.sentences():
        say(f"  It may still stand in {place}.")
