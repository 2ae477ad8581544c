"""How a request spells what it wants of a list: the one place where controls are parsed and bounded.

Belongs here: query parameters and bodies. Does not belong here: applying them (`reco.snapshot.filters`), answers
(`documents`).
"""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from reco.snapshot.answers import added
from reco.snapshot.controls import MAX_CATEGORIES, MAX_EXCLUDED, MAX_LIMIT, Controls

MAX_BASKET = 100
MAX_TEXT = 1000
MAX_QUANTITY = 1_000_000

Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]


def _plain_decimal(value: Any) -> Any:
    """A price as it is written; text that is no plain number is left to be refused."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Price = Annotated[
    Decimal, BeforeValidator(_plain_decimal), Field(ge=0, max_digits=18, decimal_places=4, allow_inf_nan=False)
]


class ListControls(BaseModel):
    """What every list can be asked for. Leave out what does not matter."""

    limit: int = Field(default=10, ge=1, le=MAX_LIMIT, description="How many items.")
    cursor: str | None = Field(
        default=None, min_length=1, max_length=400, description="`next_cursor` of the page before, as it is."
    )
    exclude_ids: list[Text] = Field(
        default_factory=list, max_length=MAX_EXCLUDED, description="Ids that are not to be in the list; repeatable."
    )
    categories: list[Text] = Field(
        default_factory=list,
        max_length=MAX_CATEGORIES,
        description="Only items of these; `Home > Tools` is also of `Home` and of `Tools`. Repeatable.",
    )
    categories_match: Literal["any", "all"] = Field(
        default="any", description="Whether an item must be of any or of all of `categories`."
    )
    min_price: Price | None = Field(default=None, description="Only items whose price is known and not below.")
    max_price: Price | None = Field(default=None, description="Only items whose price is known and not above.")
    in_stock: bool | None = Field(default=None, description="Only items known to be (true) or not to be in stock.")
    min_score: float = Field(default=0.0, ge=0, le=1, description="Only items with at least this `similarity_score`.")
    max_per_category: int | None = Field(
        default=None, ge=1, le=MAX_LIMIT, description="At most so many items of one category, over all pages."
    )
    explain: bool = Field(default=False, description="Adds the numbers behind each item, and what was filtered out.")

    def controls(self) -> Controls:
        """The controls.

        Raises:
            UsageError: two bounds contradict each other.
        """
        return Controls(
            limit=self.limit,
            cursor=self.cursor,
            exclude_ids=tuple(self.exclude_ids),
            categories=tuple(self.categories),
            categories_match=self.categories_match,
            min_price=self.min_price,
            max_price=self.max_price,
            in_stock=self.in_stock,
            min_score=self.min_score,
            max_per_category=self.max_per_category,
            explain=self.explain,
        )


class PopularControls(ListControls):
    """A list of popular items."""

    category: Text | None = Field(default=None, description="Only items of this category, matched exactly.")


class BasketItem(BaseModel):
    """An item of a basket with its quantity."""

    model_config = ConfigDict(extra="forbid")

    item: Text
    quantity: int | None = Field(default=None, ge=1, le=MAX_QUANTITY, description="Left out, it weighs like one.")


class Basket(ListControls):
    """What is in the basket: ids or exact names, with or without quantities."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"items": ["PID", "Water Level Meter"], "limit": 5},
                {"items": [{"item": "PID", "quantity": 3}, "Cal Kit"], "exclude_ids": ["Hose"], "explain": True},
            ]
        },
    )

    items: list[Text | BasketItem] = Field(min_length=1, max_length=MAX_BASKET)

    def counted(self) -> dict[str, int | None]:
        """The quantity of each text: those given add up; None where none is given, however often the text is there."""
        found: dict[str, int | None] = {}
        for one in self.items:
            text, quantity = (one, None) if isinstance(one, str) else (one.item, one.quantity)
            found[text] = added(found.get(text), quantity)
        return found
