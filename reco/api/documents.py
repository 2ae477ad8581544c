"""The form of requests and answers, for the routes and for /openapi.json.

Belongs here: models. Does not belong here: making an answer: bodies come ready from `reco.snapshot`, and tests compare
them with these models; what else /openapi.json tells of a route (`openapi`).
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class EvidenceDocument(BaseModel):
    """What speaks for a pair of items; counts are exact."""

    model_config = ConfigDict(extra="forbid")

    pair_orders: int = Field(description="Orders that hold both items.")
    lift: float = Field(description="How many times more often than by chance.")
    confidence: float = Field(description="Share of the orders with the asked item that hold this one too.")


class TrendDocument(BaseModel):
    """How an item's orders changed from one window to the next."""

    model_config = ConfigDict(extra="forbid")

    recent_orders: int = Field(description="Orders that hold the item in the newest window.")
    before_orders: int = Field(description="The same in the window before.")
    growth: float = Field(description="How many times what the orders of the shop let expect; smoothed.")
    days: int = Field(description="Length of a window.")


class PartDocument(BaseModel):
    """What one item of a basket says for a recommendation."""

    model_config = ConfigDict(extra="forbid")

    item_id: str
    score: float
    weight: float = Field(description="1 + ln(quantity).")


class ExplanationDocument(BaseModel):
    """The counts behind a recommendation; those of a pair only where a pair speaks for it."""

    model_config = ConfigDict(extra="forbid")

    orders: int = Field(description="All orders of the shop.")
    purchases: int = Field(description="Orders that hold the item.")
    because_of: str | None = Field(default=None, description="The item of the question that speaks most for it.")
    because_of_purchases: int | None = None
    pair_orders: int | None = None
    expected_pair_orders: float | None = Field(default=None, description="Orders with both, if chance decided.")
    score: float | None = Field(default=None, description="The score of the pair.")
    parts: list[PartDocument] | None = Field(default=None, description="Of a basket: each item that speaks for it.")


class ListExplanation(BaseModel):
    """What became of the candidates."""

    model_config = ConfigDict(extra="forbid")

    looked_at: int = Field(description="Candidates up to the end of this page.")
    removed: dict[str, int] = Field(description="How many of them each filter took out.")


class Recommendation(BaseModel):
    """One recommended item."""

    model_config = ConfigDict(extra="forbid")

    item_id: str
    item_name: str
    similarity_score: float = Field(
        ge=0, le=1, description="The score of the model; for popular items, purchases against the first."
    )
    reason: str
    popularity_rank: int = Field(description="1: in most orders.")
    purchases: int = Field(description="Orders that hold the item.")
    purchase_frequency: float = Field(ge=0, le=1, description="Share of all orders that hold the item.")
    evidence: EvidenceDocument | None
    source: Literal["similar", "basket", "similar_name", "popular", "popular_category", "trending"] = Field(
        description="What it is recommended for; `similar_name` and popular items stand in where no order speaks."
    )
    trend: TrendDocument | None = Field(default=None, description="Of trending items only.")
    explain: ExplanationDocument | None = Field(default=None, description="Where it was asked for.")


class Metadata(BaseModel):
    """About the answer as a whole. The last ones stand only where they apply."""

    model_config = ConfigDict(extra="forbid")

    limit: int
    total_recommendations: int
    snapshot_id: str
    generated_at: str = Field(description="When the snapshot was published.")
    source: Literal["similar", "basket", "similar_name", "popular", "popular_category", "trending", "memory"] = Field(
        description="`memory`: an earlier snapshot, kept in memory, answers because the current one cannot be read."
    )
    degraded: bool
    recommendation_id: str = Field(description="The same for the same question to the same snapshot.")
    degraded_reason: str | None = None
    degraded_since: str | None = None
    note: str | None = None
    item_id: str | None = None
    item_name: str | None = None
    category: str | None = None
    known_items: list[str] | None = None
    unknown_items: list[str] | None = None
    order_items: int | None = Field(default=None, description="For an order: how many items it holds.")
    window_days: int | None = Field(default=None, description="Of trending items: length of a window.")
    window_end: str | None = Field(default=None, description="Of trending items: the newest order.")
    next_cursor: str | None = Field(default=None, description="Where there is more: the cursor of the next page.")
    explain: ListExplanation | None = None


class Answer(BaseModel):
    """The answer of every list of recommendations."""

    model_config = ConfigDict(extra="forbid")

    recommendations: list[Recommendation]
    metadata: Metadata


class Health(BaseModel):
    """How the service is; for people and dashboards. `/readyz` is for load balancers."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["healthy", "degraded", "unhealthy"] = Field(
        description="healthy: the current snapshot is served. degraded: something else is. unhealthy: nothing is."
    )
    redis_connected: bool
    timestamp: str
    snapshot_id: str | None
    snapshot_published_at: str | None
    snapshot_age_seconds: int | None
    snapshot_complete: bool | None = Field(description="Whether no key of it was missing when it was read.")
    items: int | None
    orders: int | None
    problem: str | None = Field(description="Code of what keeps the service from the current snapshot.")
    degraded_since: str | None
    looked_at: str = Field(description="When Redis was last asked for the current snapshot.")
    version: str


class Alive(BaseModel):
    """The process runs."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["alive"]


class Ready(BaseModel):
    """The process can answer."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["ready"]
    degraded: bool
