"""The form of answers about items, categories, searches, hidden items and snapshots, for /openapi.json.

Belongs here: models. Does not belong here: making an answer (`reco.snapshot`), lists of recommendations (`documents`).
"""

import datetime as dt
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from reco.api.documents import TrendDocument
from reco.api.questions import MAX_TEXT, Text


class Facts(BaseModel):
    """About the snapshot that answered. The last ones stand only where they apply."""

    model_config = ConfigDict(extra="forbid")

    snapshot_id: str
    generated_at: str = Field(description="When the snapshot was published.")
    source: Literal["snapshot", "memory"] = Field(
        description="`memory`: an earlier snapshot answers because the current one cannot be read."
    )
    degraded: bool
    degraded_reason: str | None = None
    degraded_since: str | None = None
    limit: int | None = None
    orders: int | None = Field(default=None, description="All orders of the shop.")
    next_cursor: str | None = None
    total_categories: int | None = None
    query: str | None = None
    total_items: int | None = Field(default=None, description="Items on this page.")
    total_found: int | None = Field(default=None, description="Items that fit, before any filter.")


class ItemFacts(BaseModel):
    """What the snapshot knows of an item; null is not known."""

    model_config = ConfigDict(extra="forbid")

    item_id: str
    item_name: str
    category: str | None
    categories: list[str] = Field(description="The category and its parts: what `categories` filters look at.")
    price: str | None = Field(description="A decimal, of the newest catalogue.")
    in_stock: bool | None
    popularity_rank: int
    purchases: int = Field(description="Orders that hold it.")
    purchase_frequency: float = Field(description="Share of all orders that hold it.")
    units: int
    units_per_order: float | None
    revenue: str | None = Field(description="A decimal.")
    customers: int | None
    orders_per_customer: float | None
    first_sold_at: str | None
    last_sold_at: str | None
    neighbours: int = Field(description="Length of its list of similar items.")
    trend: TrendDocument | None


class ItemDocument(BaseModel):
    """The answer of `items/{item}`."""

    model_config = ConfigDict(extra="forbid")

    item: ItemFacts
    metadata: Facts


class CategoryFacts(BaseModel):
    """One category."""

    model_config = ConfigDict(extra="forbid")

    category: str
    categories: list[str]
    items: int
    sold_items: int


class CategoriesDocument(BaseModel):
    """The answer of `categories`."""

    model_config = ConfigDict(extra="forbid")

    categories: list[CategoryFacts]
    metadata: Facts


class FoundItem(BaseModel):
    """An item that was searched for."""

    model_config = ConfigDict(extra="forbid")

    item_id: str
    item_name: str
    category: str | None
    price: str | None
    in_stock: bool | None
    popularity_rank: int
    purchases: int
    score: float = Field(ge=0, le=1, description="How well it fits.")
    match: Literal["word", "beginning", "part", "typo"] = Field(description="How its worst word fits.")


class SearchDocument(BaseModel):
    """The answer of `search`."""

    model_config = ConfigDict(extra="forbid")

    items: list[FoundItem]
    metadata: Facts


class WhyItem(BaseModel):
    """An item that was asked about."""

    model_config = ConfigDict(extra="forbid")

    item_id: str
    item_name: str
    category: str | None
    popularity_rank: int
    purchases: int


class WhyPair(BaseModel):
    """What orders say of an item of the basket and the asked one."""

    model_config = ConfigDict(extra="forbid")

    item_id: str
    purchases: int
    in_list: bool = Field(description="Whether the asked item is in the list of this one.")
    place: int | None = Field(description="Its place there.")
    list_length: int
    pair_orders: int | None = Field(description="Orders that hold both; null where neither list has the other.")
    score: float | None


class HiddenBy(BaseModel):
    """The rule that hides an item."""

    model_config = ConfigDict(extra="forbid")

    rule_id: int
    kind: Literal["item", "category"]
    value: str


class WhyDocument(BaseModel):
    """The answer of `why/{item}`."""

    model_config = ConfigDict(extra="forbid")

    item: WhyItem
    basket: list[WhyItem]
    recommended: bool
    rank: int | None = Field(description="Its place among what passes the filters.")
    place: int | None = Field(default=None, description="Its place among all candidates.")
    score: float | None
    removed_by: (
        Literal[
            "in_basket",
            "hidden",
            "exclude_ids",
            "categories",
            "min_price",
            "max_price",
            "in_stock",
            "min_score",
            "max_per_category",
            "limit",
            "no_candidate",
        ]
        | None
    ) = Field(description="What keeps it out; null where nothing does.")
    source: str | None = Field(description="Which list was looked at.")
    hidden_by: HiddenBy | None
    pairs: list[WhyPair]
    reasons: list[str] = Field(description="The answer in sentences.")
    metadata: Facts


class DropDocument(BaseModel):
    """A file of orders, and what became of its lines."""

    model_config = ConfigDict(extra="forbid")

    drop_key: str
    name: str
    sha256: str
    source: str
    status: str
    run_id: str | None
    lines_read: int | None
    lines_accepted: int | None
    lines_excluded: int | None
    lines_quarantined: int | None


class SnapshotDocument(BaseModel):
    """The answer of `snapshots/{snapshot_id}`."""

    model_config = ConfigDict(extra="forbid")

    manifest: dict[str, Any] = Field(description="As published: run, drops by sha256, counts, digest, settings, gate.")
    drops: list[DropDocument] | None = Field(
        description="At most 1,000 of them; null while the database does not answer."
    )
    drops_total: int = Field(description="How many drops the manifest names by their sha256.")
    drops_cut: bool = Field(description="Whether there are more drops than can be told here.")


def _in_utc(value: dt.datetime) -> dt.datetime:
    """A time in UTC; one without a zone is left to be refused where that is explained."""
    if value.tzinfo is None:
        return value
    try:
        return value.astimezone(dt.UTC)
    except OverflowError:
        raise ValueError("in UTC it is not in the years 1 to 9999; leave it out for no end") from None


class HideRequest(BaseModel):
    """What is to be hidden."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"kind": "item", "value": "PID", "reason": "recalled by its maker"},
                {"kind": "category", "value": "Fireworks", "reason": "season", "expires_at": "2030-12-28T00:00:00Z"},
            ]
        },
    )

    kind: Literal["item", "category"]
    # An id may hold a line break; NUL no database keeps.
    value: Annotated[Text, Field(pattern=r"^[^\x00]*$")] = Field(
        description="An item by id, else exact name; or a category or part of one."
    )
    reason: Annotated[str, Field(min_length=1, max_length=MAX_TEXT, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
    expires_at: Annotated[dt.datetime, AfterValidator(_in_utc)] | None = Field(
        default=None, description="With a time zone; leave it out for no end."
    )


class HideDocument(BaseModel):
    """A rule that hides."""

    model_config = ConfigDict(extra="forbid")

    rule_id: int
    kind: Literal["item", "category"]
    value: str
    author: str
    reason: str
    state: Literal["active", "expired", "removed"]
    created_at: str
    expires_at: str | None
    removed_at: str | None
    removed_by: str | None


class HiddenDocument(HideDocument):
    """A rule that was made just now."""

    model_config = ConfigDict(extra="forbid")

    covers_items: bool | None = Field(
        description="Whether the served snapshot has an item that the rule hides; null while no snapshot can be read."
    )


class HidesDocument(BaseModel):
    """The rules."""

    model_config = ConfigDict(extra="forbid")

    hidden: list[HideDocument]
