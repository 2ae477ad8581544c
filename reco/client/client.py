"""The routes of the service as methods.

Belongs here: how each is asked. Does not belong here: HTTP (`connection`), the form of answers (`documents`).
"""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Literal, Self, TypedDict, Unpack
from urllib.parse import quote, urlencode

from reco.client.connection import Connection
from reco.client.documents import (
    Answer,
    CategoriesDocument,
    Health,
    HiddenDocument,
    HideDocument,
    ItemDocument,
    Recommendation,
    SearchDocument,
    SnapshotDocument,
    WhyDocument,
)


class Controls(TypedDict, total=False):
    """What may be asked of a list; docs/api.md tells what each means. Leave out what does not matter."""

    limit: int
    cursor: str
    exclude_ids: list[str]
    categories: list[str]
    categories_match: Literal["any", "all"]
    min_price: Decimal | str | int
    max_price: Decimal | str | int
    in_stock: bool
    min_score: float
    max_per_category: int
    explain: bool


class Client:
    """A service at an address; `with Client(...) as shop` closes it. Each thread needs one of its own.

    key: an API key, where the service asks for one. Further arguments are those of `Connection`.

    Every method raises ApiProblem: ApiNotFound, ApiKeyRefused, ApiLimited, ApiUnavailable, or itself for what else the
    service refuses. `problem` of it is the problem document, `problem["code"]` stays the same over versions.
    """

    def __init__(self, url: str = "http://127.0.0.1:8000", key: str | None = None, **connection: Any) -> None:
        self._connection = Connection(url, key, **connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    # ----------------------------------------------------------------------------------------------- recommendations

    def popular(self, *, category: str | None = None, **controls: Unpack[Controls]) -> Answer:
        """The items in most orders, of a category or of the whole shop."""
        answer: Answer = self._get("/api/v1/popular-items", controls, category=category)
        return answer

    def trending(self, **controls: Unpack[Controls]) -> Answer:
        """The items whose orders grow most."""
        answer: Answer = self._get("/api/v1/trending-items", controls)
        return answer

    def similar(self, item: str, **controls: Unpack[Controls]) -> Answer:
        """What is bought together with an item."""
        answer: Answer = self._get(f"/api/v1/similar-items/{_part(item)}", controls)
        return answer

    def basket(self, items: Iterable[str] | Mapping[str, int], **controls: Unpack[Controls]) -> Answer:
        """What goes with a basket: ids or exact names, or a quantity of each."""
        wanted: list[Any] = (
            [{"item": item, "quantity": many} for item, many in items.items()]
            if isinstance(items, Mapping)
            else list(items)
        )
        body = {"items": wanted} | {name: _plain(value) for name, value in controls.items()}
        answer: Answer = self._connection.ask("POST", "/api/v1/basket-recommendations", body)
        return answer

    def order(self, order_id: str, *, source: str | None = None, **controls: Unpack[Controls]) -> Answer:
        """What goes with an order of the past."""
        answer: Answer = self._get(f"/api/v1/recommendations/{_part(order_id)}", controls, source=source)
        return answer

    def each(self, ask: Callable[..., Answer], *asked: Any, **controls: Any) -> Iterator[Recommendation]:
        """Every recommendation of a list, page by page: `shop.each(shop.similar, "PID", categories=["Gas"])`.

        Raises:
            ApiProblem: also where another snapshot is served before the last page was asked for (410,
                `cursor_expired`): its list has another order.
        """
        controls = {"limit": 100} | controls
        while True:
            answer = ask(*asked, **controls)
            yield from answer["recommendations"]
            cursor = answer["metadata"].get("next_cursor")
            if cursor is None:
                return
            controls["cursor"] = cursor

    # --------------------------------------------------------------------------------------------------------- items

    def item(self, item: str) -> ItemDocument:
        """What is known of an item."""
        answer: ItemDocument = self._get(f"/api/v1/items/{_part(item)}", {})
        return answer

    def categories(self, *, limit: int = 100, cursor: str | None = None) -> CategoriesDocument:
        """Every category, with its number of items."""
        answer: CategoriesDocument = self._get("/api/v1/categories", {}, limit=limit, cursor=cursor)
        return answer

    def search(self, q: str, **controls: Unpack[Controls]) -> SearchDocument:
        """Items by name or id."""
        answer: SearchDocument = self._get("/api/v1/search", controls, q=q)
        return answer

    def why(self, item: str, basket: Iterable[str] = (), **controls: Unpack[Controls]) -> WhyDocument:
        """Why an item is, or is not, recommended with a basket."""
        answer: WhyDocument = self._get(f"/api/v1/why/{_part(item)}", controls, basket=list(basket))
        return answer

    # ------------------------------------------------------------------------------------------- for who runs a shop

    def hide(
        self, kind: Literal["item", "category"], value: str, reason: str, *, expires_at: dt.datetime | None = None
    ) -> HiddenDocument:
        """Takes an item or a category out of every list (scope `admin`)."""
        body = {"kind": kind, "value": value, "reason": reason}
        end = {} if expires_at is None else {"expires_at": expires_at.isoformat()}
        answer: HiddenDocument = self._connection.ask("POST", "/api/v1/hidden", body | end, changes=True)
        return answer

    def hidden(self, *, ended: bool = False) -> list[HideDocument]:
        """What is hidden, newest first (scope `admin`)."""
        answer: list[HideDocument] = self._get("/api/v1/hidden", {}, ended=ended)["hidden"]
        return answer

    def show(self, rule_id: int) -> HideDocument:
        """Ends a rule that hides (scope `admin`)."""
        answer: HideDocument = self._connection.ask("DELETE", f"/api/v1/hidden/{rule_id}", changes=True)
        return answer

    def snapshot(self, snapshot_id: str = "current") -> SnapshotDocument:
        """What a snapshot was made of (scope `ops`)."""
        answer: SnapshotDocument = self._get(f"/api/v1/snapshots/{_part(snapshot_id)}", {})
        return answer

    def health(self) -> Health:
        """How the service is."""
        answer: Health = self._get("/health/", {})
        return answer

    def _get(self, path: str, controls: Mapping[str, Any], **more: Any) -> Any:
        given = {name: value for name, value in (*controls.items(), *more.items()) if value is not None}
        query = {
            name: str(value).lower() if isinstance(value, bool) else _plain(value) for name, value in given.items()
        }
        written = urlencode(query, doseq=True)
        return self._connection.ask("GET", f"{path}?{written}" if written else path)


def _part(text: str) -> str:
    return quote(text, safe="")


def _plain(value: Any) -> Any:
    """As an address and JSON can say it."""
    return format(value, "f") if isinstance(value, Decimal) else value
