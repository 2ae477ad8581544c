"""What every list can be asked for on the command line: the parameters of the API, as options.

Belongs here: these options, and making controls of them by the code of the API. Does not belong here: asking (`ask`).
"""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from reco.errors import UsageError
from reco_pipeline.cli.options import LimitOption

if TYPE_CHECKING:
    from reco.snapshot.controls import Controls


def _options(
    limit: LimitOption = 10,
    cursor: Annotated[str | None, typer.Option(help="Next page: `next_cursor` of the page before.")] = None,
    exclude_ids: Annotated[
        list[str] | None, typer.Option("--exclude", metavar="ID", help="Not this; repeatable.")
    ] = None,
    categories: Annotated[
        list[str] | None, typer.Option("--in-category", metavar="NAME", help="Only of this or a part; repeatable.")
    ] = None,
    categories_match: Annotated[
        Literal["any", "all"], typer.Option("--match", help="Of any, or of all --in-category.")
    ] = "any",
    min_price: Annotated[str | None, typer.Option(metavar="PRICE", help="Only known prices not below.")] = None,
    max_price: Annotated[str | None, typer.Option(metavar="PRICE", help="Only known prices not above.")] = None,
    in_stock: Annotated[
        bool | None, typer.Option("--in-stock/--out-of-stock", help="Only what is known to be, or not to be.")
    ] = None,
    min_score: Annotated[float, typer.Option(min=0, max=1, help="Only with at least this score.")] = 0.0,
    max_per_category: Annotated[
        int | None, typer.Option(min=1, max=100, help="At most so many of one category.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="The numbers behind each item, and what was removed.")
    ] = False,
) -> None:
    """Never called: its signature is the options."""


_SHARED = inspect.signature(_options).parameters


def takes_controls(command: Callable[..., None]) -> Callable[..., None]:
    """The command with these options, which it gets as one argument, `controls`."""

    @wraps(command)
    def asked(**given: Any) -> None:
        command(**{name: value for name, value in given.items() if name not in _SHARED}, controls=_controls(given))

    own = [one for name, one in inspect.signature(command).parameters.items() if name != "controls"]
    parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in (*own, *_SHARED.values())]
    asked.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    asked.__annotations__ = {one.name: one.annotation for one in parameters}
    return asked


def _controls(given: dict[str, Any]) -> "Controls":
    """As the API reads them.

    Raises:
        UsageError: one of them is none.
    """
    from pydantic import ValidationError

    from reco.api.questions import ListControls

    try:
        return ListControls.model_validate(
            {name: given[name] for name in _SHARED if given[name] not in (None, ())}
        ).controls()
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise UsageError(f"That cannot be asked of a list: {told}.", hint="`--help` shows what can.") from error
