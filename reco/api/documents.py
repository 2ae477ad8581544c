"""The form of requests and answers, for the routes and for /openapi.json.

Belongs here: models. Does not belong here: making an answer: bodies come ready from `reco.snapshot`, and tests compare
them with these models.
"""

from typing import Annotated, Any, Literal

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict, Field

from reco.api.problems import MEDIA_TYPE, Problem

MAX_LIMIT = 100
MAX_BASKET = 100
MAX_TEXT = 1000

Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]


class Basket(BaseModel):
    """What is in the basket: ids or exact names."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"items": ["PID", "Water Level Meter"], "limit": 5}]}
    )

    items: list[Text] = Field(min_length=1, max_length=MAX_BASKET)
    limit: int = Field(default=10, ge=1, le=MAX_LIMIT)


class EvidenceDocument(BaseModel):
    """What speaks for a pair of items; counts are exact."""

    model_config = ConfigDict(extra="forbid")

    pair_orders: int = Field(description="Orders that hold both items.")
    lift: float = Field(description="How many times more often than by chance.")
    confidence: float = Field(description="Share of the orders with the asked item that hold this one too.")


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
    evidence: EvidenceDocument | None
    source: Literal["similar", "basket", "similar_name", "popular", "popular_category"] = Field(
        description="What it is recommended for; `similar_name` and popular items stand in where no order speaks."
    )


class Metadata(BaseModel):
    """About the answer as a whole. The last ones stand only where they apply."""

    model_config = ConfigDict(extra="forbid")

    limit: int
    total_recommendations: int
    snapshot_id: str
    generated_at: str = Field(description="When the snapshot was published.")
    source: Literal["similar", "basket", "similar_name", "popular", "popular_category", "memory"] = Field(
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


class Answer(BaseModel):
    """The answer of all three routes."""

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


def problems(**wanted: str) -> dict[int | str, dict[str, Any]]:
    """The problem responses of a route: `s404="when"`."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        int(name[1:]): {"description": when, "content": {MEDIA_TYPE: {"schema": schema}}}
        for name, when in wanted.items()
    }


def install_openapi(app: FastAPI) -> None:
    """Adds the problem document to what FastAPI derives from the routes."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes, tags=None
            )
            schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            parts = schema.pop("$defs", {})
            document.setdefault("components", {}).setdefault("schemas", {}).update({"Problem": schema, **parts})
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
