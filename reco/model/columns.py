"""The tables of the lake, column by column: type, meaning and where a value comes from.

Belongs here: the description of every stored table, the types of order lines taken from the rule table; tests compare
it with the files that are written. Does not belong here: how a column is computed, or how a description is shown.
"""

from dataclasses import dataclass

from reco.catalog.table import CATALOGUE
from reco.model.choice import SCORE_CHOICE
from reco.model.evaluation.table import MODEL_EVALUATION
from reco.model.tables import ITEM_COOCCURRENCE, ITEM_STATS, SIMILAR_ITEMS
from reco.orders.drops import ORDER_LINES, QUARANTINED_LINES
from reco.orders.merging import MERGED_ITEMS
from reco.orders.orders import ORDERS
from reco.orders.rules import COLUMNS, MONEY_SQL


@dataclass(frozen=True, slots=True)
class Column:
    """One column. sources: the (table, column) pairs it is made from, none where it comes from the drop itself."""

    name: str
    sql_type: str
    meaning: str
    nullable: bool = False
    sources: tuple[tuple[str, str], ...] = ()


_LINE_MEANINGS = {
    "order_id": "The order the line belongs to, as text.",
    "item_id": "The item, as text; the name where the file has no id.",
    "item_name": "The item's name in this line.",
    "quantity": "Units ordered, 1 where the file has no quantity; below zero where the line takes units back.",
    "unit_price": "Price of one unit in the shop's currency.",
    "line_total": "Price of the whole line; unit price times quantity where the file has none.",
    "customer_id": "The customer, as text. Personal data.",
    "category": "The item's category in this line.",
    "ordered_at": "When it was ordered, UTC without a zone.",
}


def _from(table: str, *columns: str) -> tuple[tuple[str, str], ...]:
    return tuple((table, column) for column in columns)


_ORDER_LINES = (
    Column("line", "BIGINT", "First physical line of the record in its file; the header counts."),
    *(Column(rule.name, rule.sql_type, _LINE_MEANINGS[rule.name], nullable=not rule.required) for rule in COLUMNS),
    Column("source", "VARCHAR", "The source profile the drop was read with."),
)

_QUARANTINED_LINES = (
    Column("line", "BIGINT", "First physical line of the record in its file; the header counts."),
    Column("byte_offset", "BIGINT", "Where the record begins in the file's decompressed bytes."),
    Column("raw", "BLOB", "The bytes of the record, unchanged. May hold personal data."),
    Column("disposition", "VARCHAR", "excluded (a rule of the shop) or quarantined (something is wrong)."),
    Column("reason", "VARCHAR", "The reason code that decided."),
    Column("column", "VARCHAR", "The canonical column at fault.", nullable=True),
    Column("value", "VARCHAR", "The value at fault, at most 200 characters.", nullable=True),
    Column("message", "VARCHAR", "The reason in words."),
    Column("also", "VARCHAR[]", "Reason codes that apply too."),
)

_ORDERS = (
    Column("source", "VARCHAR", "With order_id the identity of an order.", sources=_from(ORDER_LINES, "source")),
    Column("order_id", "VARCHAR", "The order.", sources=_from(ORDER_LINES, "order_id")),
    Column("item_id", "VARCHAR", "An item of the order, once.", sources=_from(ORDER_LINES, "item_id")),
    Column(
        "quantity",
        "BIGINT",
        "Units of all its lines less those taken back.",
        sources=_from(ORDER_LINES, "quantity"),
    ),
    Column(
        "revenue",
        "DECIMAL(38,4)",
        "Line totals added up; null where no line has one.",
        nullable=True,
        sources=_from(ORDER_LINES, "line_total"),
    ),
    Column(
        "customer_id",
        "VARCHAR",
        "The order's customer. Personal data.",
        nullable=True,
        sources=_from(ORDER_LINES, "customer_id"),
    ),
    Column(
        "ordered_at", "TIMESTAMP", "The order's earliest time.", nullable=True, sources=_from(ORDER_LINES, "ordered_at")
    ),
    Column("drop_key", "VARCHAR", "The drop that brought the row."),
)

_MERGED_ITEMS = (
    Column("source", "VARCHAR", "The source whose rule merges.", sources=_from(ORDER_LINES, "source")),
    Column("item_id", "VARCHAR", "An id that stands under another one.", sources=_from(ORDER_LINES, "item_id")),
    Column("merged_into", "VARCHAR", "That one: the most frequent of the item's ids."),
    Column("lines", "BIGINT", "Lines that came with item_id."),
)

_CATALOGUE = (
    Column("item_id", "VARCHAR", "The item, as text; the name where the file has no id."),
    Column("item_name", "VARCHAR", "Its name.", nullable=True),
    Column("category", "VARCHAR", "Its category.", nullable=True),
    Column("price", MONEY_SQL, "Its listed price, in the shop's currency.", nullable=True),
    Column("in_stock", "BOOLEAN", "Whether it can be had.", nullable=True),
    Column("url", "VARCHAR", "Where the shop shows it.", nullable=True),
    Column("source", "VARCHAR", "The source profile its catalogue was read with."),
    Column("drop_key", "VARCHAR", "The catalogue its newest line came with."),
    Column("listed", "BOOLEAN", "Whether that is the newest catalogue of its source."),
)

_ITEM_STATS = (
    Column("item_id", "VARCHAR", "The item.", sources=_from(ORDERS, "item_id")),
    Column(
        "item_name",
        "VARCHAR",
        "Its name: the catalogue's, else the most frequent one, else the id.",
        sources=(*_from(CATALOGUE, "item_name"), *_from(ORDER_LINES, "item_name", "item_id")),
    ),
    Column(
        "category",
        "VARCHAR",
        "Its category: the catalogue's, else the most frequent one.",
        nullable=True,
        sources=(*_from(CATALOGUE, "category"), *_from(ORDER_LINES, "category")),
    ),
    Column("orders", "BIGINT", "Orders that hold it.", sources=_from(ORDERS, "source", "order_id", "item_id")),
    Column("units", "BIGINT", "Units sold.", sources=_from(ORDERS, "quantity")),
    Column("revenue", "DECIMAL(38,4)", "Revenue, where known.", nullable=True, sources=_from(ORDERS, "revenue")),
    Column(
        "customers",
        "BIGINT",
        "Distinct customers, where known.",
        nullable=True,
        sources=_from(ORDERS, "source", "customer_id"),
    ),
    Column("first_sold_at", "TIMESTAMP", "First sale, UTC.", nullable=True, sources=_from(ORDERS, "ordered_at")),
    Column("last_sold_at", "TIMESTAMP", "Last sale, UTC.", nullable=True, sources=_from(ORDERS, "ordered_at")),
    Column("rank", "BIGINT", "1 for the item in most orders.", sources=_from(ORDERS, "order_id", "item_id")),
    Column("share", "DOUBLE", "Orders that hold it / all orders.", sources=_from(ORDERS, "order_id", "item_id")),
)

_PAIR_SOURCES = _from(ORDERS, "source", "order_id", "item_id")
_ITEM_COOCCURRENCE = (
    Column("item_id", "VARCHAR", "The item.", sources=_from(ORDERS, "item_id")),
    Column("other_id", "VARCHAR", "One of its best neighbours by the score.", sources=_from(ORDERS, "item_id")),
    Column("pair_orders", "BIGINT", "Orders that hold both, exactly.", sources=_PAIR_SOURCES),
    Column(
        "pair_weight",
        "DOUBLE",
        "What these orders weigh together; null where the score weighs all alike.",
        nullable=True,
        sources=(*_PAIR_SOURCES, *_from(ORDERS, "ordered_at")),
    ),
)

_EVIDENCE = (*_from(ITEM_COOCCURRENCE, "pair_orders"), *_from(ITEM_STATS, "orders"))
_SIMILAR_ITEMS = (
    Column("item_id", "VARCHAR", "The item asked for.", sources=_from(ITEM_COOCCURRENCE, "item_id")),
    Column("other_id", "VARCHAR", "Its neighbour.", sources=_from(ITEM_COOCCURRENCE, "other_id")),
    Column("rank", "BIGINT", "1 for the best neighbour, at most 100.", sources=_EVIDENCE),
    Column(
        "score",
        "DOUBLE",
        "The score that ranks, 0..1: by default the cosine n_ij / sqrt(n_i n_j).",
        sources=(*_EVIDENCE, *_from(ITEM_COOCCURRENCE, "pair_weight")),
    ),
    Column("pair_orders", "BIGINT", "n_ij: orders that hold both.", sources=_from(ITEM_COOCCURRENCE, "pair_orders")),
    Column("confidence", "DOUBLE", "n_ij / n_i.", sources=_EVIDENCE),
    Column(
        "lift",
        "DOUBLE",
        "n_ij N / (n_i n_j): how much more often than by chance.",
        sources=(*_EVIDENCE, *_from(ITEM_STATS, "share")),
    ),
)

_FIGURES = {
    "hit_rate": "HR@10: share of questions whose hidden item is among the first ten.",
    "ndcg": "NDCG@10 with an ideal DCG of 1: one item is hidden.",
    "mrr": "Mean of 1 / rank of the hidden item, over all places.",
}
_ASKED = (*_from(ORDERS, "source", "order_id", "item_id", "ordered_at"),)
_MODEL_EVALUATION = (
    Column("contender", "VARCHAR", "The score, popularity, or the table that is to be published."),
    Column("settings", "VARCHAR", "Score settings as JSON, where it has some.", nullable=True),
    Column("questions", "BIGINT", "Baskets from which an item was hidden.", sources=_ASKED),
    *(
        Column(f"{name}{suffix}", "DOUBLE", f"Standard error of {name}." if suffix else meaning, sources=_ASKED)
        for name, meaning in _FIGURES.items()
        for suffix in ("", "_error")
    ),
    Column("repeat_rate", "DOUBLE", "HR@10 of items the customer had bought before.", nullable=True, sources=_ASKED),
    Column("explore_rate", "DOUBLE", "HR@10 of items new to the customer.", nullable=True, sources=_ASKED),
    Column("coverage", "DOUBLE", "Share of the items that are ever among the first ten.", sources=_ASKED),
    Column("novelty", "DOUBLE", "Mean of -log2 of the share of orders, in bits.", nullable=True, sources=_ASKED),
    Column("popularity_bias", "DOUBLE", "Share of orders of shown over hidden items.", nullable=True, sources=_ASKED),
    Column("ahead", "DOUBLE", "How far its metric is above the configured score's.", sources=_ASKED),
    Column("ahead_error", "DOUBLE", "Standard error of that, of paired differences.", sources=_ASKED),
)

TABLES: dict[str, tuple[Column, ...]] = {
    ORDER_LINES: _ORDER_LINES,
    QUARANTINED_LINES: _QUARANTINED_LINES,
    ORDERS: _ORDERS,
    MERGED_ITEMS: _MERGED_ITEMS,
    CATALOGUE: _CATALOGUE,
    ITEM_STATS: _ITEM_STATS,
    ITEM_COOCCURRENCE: _ITEM_COOCCURRENCE,
    SIMILAR_ITEMS: _SIMILAR_ITEMS,
    MODEL_EVALUATION: _MODEL_EVALUATION,
    SCORE_CHOICE: _MODEL_EVALUATION,
}
"""Every table of the lake by name, its columns in the order of the file."""
