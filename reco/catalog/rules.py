"""The rule table of catalogues: what an item's line is, every reason why a line is none, and usual header names.

Belongs here: columns, reasons and names. Does not belong here: structural faults (`reco.orders.records`), reading.
"""

from reco.orders.headers import USUAL_NAMES
from reco.orders.records import MESSAGES
from reco.orders.rules import MONEY_SQL

COLUMNS = {
    "item_id": "VARCHAR",
    "item_name": "VARCHAR",
    "category": "VARCHAR",
    "price": MONEY_SQL,
    "in_stock": "BOOLEAN",
    "url": "VARCHAR",
}
"""The canonical columns with their types. Only an id, or a name that is the id then, is required."""

HEADERS: dict[str, tuple[str, ...]] = {
    "item_id": (*USUAL_NAMES["item_id"], "id"),
    "item_name": (*USUAL_NAMES["item_name"], "name"),
    "category": (*USUAL_NAMES["category"], "producttype", "aisle"),
    "price": (*USUAL_NAMES["unit_price"], "listprice", "currentprice"),
    "in_stock": ("instock", "stock", "availability", "available", "stockquantity", "stocklevel", "inventory"),
    "url": ("url", "link", "producturl", "itemurl", "productlink", "permalink"),
}
"""Usual header names as `plain_name` writes them; where several are there, the first of a row is taken."""

IN_STOCK = ("true", "t", "yes", "y", "in stock", "instock", "in_stock", "available", "limited")
OUT_OF_STOCK = ("false", "f", "no", "n", "out of stock", "outofstock", "out_of_stock", "unavailable", "sold out")
"""Words for a stock, in any case; a whole number of pieces is one too, in stock above 0."""

REPEATED = "duplicate_item"
VALUE_REASONS: dict[str, tuple[str, str]] = {
    "missing_item": ("item_id", "the line has no item"),
    "invalid_price": ("price", "the price is not an amount of money"),
    "negative_price": ("price", "the price is below zero"),
    "invalid_stock": ("in_stock", "the stock is neither yes or no nor a whole number"),
    REPEATED: ("item_id", "a later line of the file has the same item, and counts"),
}
"""The reasons a value gives, in the order in which they decide, each with its column and in words."""

CATALOGUE_REASONS = {**MESSAGES, **{reason: words for reason, (_, words) in VALUE_REASONS.items()}}
"""The closed list of reasons why a line of a catalogue is not accepted: structural ones first. All are quarantined."""
