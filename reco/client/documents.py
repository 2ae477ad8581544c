"""The form of answers, for type checkers; what each field means stands in /openapi.json.

Belongs here: one type a body, equal to the models of the service, to which a test holds them. Does not belong here:
checking a body when it comes.
"""

from typing import Any, NotRequired, TypedDict


class Evidence(TypedDict):
    """What speaks for a pair of items."""

    pair_orders: int
    lift: float
    confidence: float


class Trend(TypedDict):
    """How an item's orders changed."""

    recent_orders: int
    before_orders: int
    growth: float
    days: int


class Recommendation(TypedDict):
    """One recommended item."""

    item_id: str
    item_name: str
    similarity_score: float
    reason: str
    popularity_rank: int
    purchases: int
    purchase_frequency: float
    evidence: Evidence | None
    source: str
    trend: NotRequired[Trend | None]
    explain: NotRequired[dict[str, Any] | None]


class Metadata(TypedDict):
    """About an answer as a whole."""

    limit: int
    total_recommendations: int
    snapshot_id: str
    generated_at: str
    source: str
    degraded: bool
    recommendation_id: str
    degraded_reason: NotRequired[str | None]
    degraded_since: NotRequired[str | None]
    note: NotRequired[str | None]
    item_id: NotRequired[str | None]
    item_name: NotRequired[str | None]
    category: NotRequired[str | None]
    known_items: NotRequired[list[str] | None]
    unknown_items: NotRequired[list[str] | None]
    order_items: NotRequired[int | None]
    window_days: NotRequired[int | None]
    window_end: NotRequired[str | None]
    next_cursor: NotRequired[str | None]
    explain: NotRequired[dict[str, Any] | None]


class Answer(TypedDict):
    """A list of recommendations."""

    recommendations: list[Recommendation]
    metadata: Metadata


class Facts(TypedDict):
    """About the snapshot that answered."""

    snapshot_id: str
    generated_at: str
    source: str
    degraded: bool
    degraded_reason: NotRequired[str | None]
    degraded_since: NotRequired[str | None]
    limit: NotRequired[int | None]
    orders: NotRequired[int | None]
    next_cursor: NotRequired[str | None]
    total_categories: NotRequired[int | None]
    query: NotRequired[str | None]
    total_items: NotRequired[int | None]
    total_found: NotRequired[int | None]


class ItemFacts(TypedDict):
    """What is known of an item."""

    item_id: str
    item_name: str
    category: str | None
    categories: list[str]
    price: str | None
    in_stock: bool | None
    popularity_rank: int
    purchases: int
    purchase_frequency: float
    units: int
    units_per_order: float | None
    revenue: str | None
    customers: int | None
    orders_per_customer: float | None
    first_sold_at: str | None
    last_sold_at: str | None
    neighbours: int
    trend: Trend | None


class ItemDocument(TypedDict):
    """An item."""

    item: ItemFacts
    metadata: Facts


class CategoryFacts(TypedDict):
    """A category."""

    category: str
    categories: list[str]
    items: int
    sold_items: int


class CategoriesDocument(TypedDict):
    """A page of the categories."""

    categories: list[CategoryFacts]
    metadata: Facts


class FoundItem(TypedDict):
    """An item that was searched for."""

    item_id: str
    item_name: str
    category: str | None
    price: str | None
    in_stock: bool | None
    popularity_rank: int
    purchases: int
    score: float
    match: str


class SearchDocument(TypedDict):
    """A page of what was found."""

    items: list[FoundItem]
    metadata: Facts


class WhyDocument(TypedDict):
    """Why an item is, or is not, recommended."""

    item: dict[str, Any]
    basket: list[dict[str, Any]]
    recommended: bool
    rank: int | None
    place: NotRequired[int | None]
    score: float | None
    removed_by: str | None
    source: str | None
    hidden_by: dict[str, Any] | None
    pairs: list[dict[str, Any]]
    reasons: list[str]
    metadata: Facts


class SnapshotDocument(TypedDict):
    """What a snapshot was made of."""

    manifest: dict[str, Any]
    drops: list[dict[str, Any]] | None
    drops_total: int
    drops_cut: bool


class Health(TypedDict):
    """How the service is."""

    status: str
    redis_connected: bool
    timestamp: str
    snapshot_id: str | None
    snapshot_published_at: str | None
    snapshot_age_seconds: int | None
    snapshot_complete: bool | None
    items: int | None
    orders: int | None
    problem: str | None
    degraded_since: str | None
    looked_at: str
    version: str


class HideDocument(TypedDict):
    """A rule that hides."""

    rule_id: int
    kind: str
    value: str
    author: str
    reason: str
    state: str
    created_at: str
    expires_at: str | None
    removed_at: str | None
    removed_by: str | None


class HiddenDocument(HideDocument):
    """A rule that was made just now."""

    covers_items: bool | None
