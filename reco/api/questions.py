"""How a request spells what it wants of a list: the one place where controls are parsed and bounded.

Belongs here: query parameters and bodies. Does not belong here: applying them (`reco.snapshot.filters`), answers
(`documents`).
"""

import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from reco.snapshot.answers import added
from reco.snapshot.controls import MAX_CATEGORIES, MAX_EXCLUDED, MAX_LIMIT, Controls

MAX_BASKET = 100
MAX_TEXT = 1000
MAX_QUANTITY = 1_000_000

Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]


def _whole(value: Any) -> Any:
    """JSON knows one kind of number: 5.0 is 5."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]

_PLAIN = r"^[0-9]{1,14}(\.[0-9]{1,4})?$"


def _plain_decimal(value: Any) -> Decimal:
    """A price as it is written, without signs and powers."""
    text = str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    if not re.fullmatch(_PLAIN, text):
        raise ValueError("a price is written like 12 or 12.90, with at most 14 digits and 4 decimals")
    return Decimal(text)


Price = Annotated[
    Decimal,
    BeforeValidator(_plain_decimal),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": _PLAIN}, {"type": "number", "minimum": 0, "maximum": 10**14 - 1}]}
    ),
]


class ListControls(BaseModel):
    """What every list can be asked for. Leave out what does not matter."""

    limit: Whole = Field(default=10, ge=1, le=MAX_LIMIT, description="How many items.", examples=[5])
    cursor: str | None = Field(
        default=None,
        min_length=1,
        max_length=400,
        description="`next_cursor` of the page before, as it is.",
        examples=["WyIyMDI2MDMwNFQxMjAwMDBaLTAxMjNhYmNkIiwiMGExYjJjM2Q0ZTVmIiwxXQ"],
    )
    exclude_ids: list[Text] = Field(
        default_factory=list,
        max_length=MAX_EXCLUDED,
        description="Ids that are not to be in the list; repeatable.",
        examples=[["Hose"]],
    )
    categories: list[Text] = Field(
        default_factory=list,
        max_length=MAX_CATEGORIES,
        description="Only items of these; `Home > Tools` is also of `Home` and of `Tools`. Repeatable.",
        examples=[["Gas", "Water"]],
    )
    categories_match: Literal["any", "all"] = Field(
        default="any", description="Whether an item must be of any or of all of `categories`.", examples=["any"]
    )
    min_price: Price | None = Field(
        default=None, description="Only items whose price is known and not below.", examples=["9.90"]
    )
    max_price: Price | None = Field(
        default=None, description="Only items whose price is known and not above.", examples=["500"]
    )
    in_stock: bool | None = Field(
        default=None, description="Only items known to be (true) or not to be in stock.", examples=[True]
    )
    min_score: float = Field(
        default=0.0, ge=0, le=1, description="Only items with at least this `similarity_score`.", examples=[0.05]
    )
    max_per_category: Whole | None = Field(
        default=None,
        ge=1,
        le=MAX_LIMIT,
        description="At most so many items of one category, over all pages.",
        examples=[2],
    )
    explain: bool = Field(
        default=False, description="Adds the numbers behind each item, and what was filtered out.", examples=[True]
    )

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

    category: Text | None = Field(
        default=None, description="Only items of this category, matched exactly.", examples=["Gas"]
    )


class BasketItem(BaseModel):
    """An item of a basket with its quantity."""

    model_config = ConfigDict(extra="forbid", strict=True)

    item: Text
    quantity: Whole | None = Field(default=None, ge=1, le=MAX_QUANTITY, description="Left out, it weighs like one.")


class Basket(ListControls):
    """What is in the basket: ids or exact names, with or without quantities."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,  # JSON has numbers and truths of its own; in an address all is text
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
