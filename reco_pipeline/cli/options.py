"""Options that several commands share.

Does not belong here: an option of one command.
"""

from typing import Annotated

import typer

JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")]
SourceOption = Annotated[
    str | None,
    typer.Option(
        "--source",
        metavar="NAME|FILE.toml",
        help="Source profile: auto, prototype, shopify, uci-online-retail, woocommerce, or a TOML file.",
    ),
]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, max=100, help="How many items.")]


def default_of_group(context: typer.Context, as_json: bool) -> bool:
    """Whether a group was called alone, so that its default command is to run.

    `--json` in front of a subcommand (`reco drops --json list`) is handed on to it: it means the same there.
    """
    if context.invoked_subcommand is None:
        return True
    if as_json:
        context.default_map = {context.invoked_subcommand: {"as_json": True}}
    return False
