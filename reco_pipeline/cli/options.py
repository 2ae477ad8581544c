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
