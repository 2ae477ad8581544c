"""Which column of a file means what.

Belongs here: the table of usual header names and finding a profile's columns in a header. Does not belong here: reading
the header out of a file.
"""

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from reco.errors import DropUnmapped
from reco.orders.profiles import SourceProfile

USUAL_NAMES: dict[str, tuple[str, ...]] = {
    "order_id": (
        "orderid", "ordernumber", "orderno", "invoiceno", "invoiceid", "invoicenumber", "transactionid",
        "transactionno",
        "basketid", "receiptid", "receiptno", "receiptnumber", "billno", "ticketid", "saleid", "cartid",
        "order", "invoice", "transaction", "basket", "receipt",
    ),
    "item_id": (
        "itemid", "productid", "stockcode", "sku", "itemsku", "productsku", "itemcode", "productcode", "itemnumber",
        "articleid", "articlenumber", "variantid", "ean", "upc", "barcode", "asin", "pid",
    ),
    "item_name": (
        "itemname", "productname", "description", "itemdescription", "productdescription", "item", "product",
        "articlename", "article", "producttitle", "title",
    ),
    "quantity": ("quantity", "qty", "itemquantity", "quantityordered", "orderquantity", "units"),
    "unit_price": ("unitprice", "price", "itemprice", "productprice", "priceeach", "saleprice"),
    "line_total": ("linetotal", "salesvalue", "lineamount", "itemtotal", "totalprice"),
    "customer_id": (
        "customerid", "customernumber", "customerno", "householdid", "userid", "clientid", "memberid", "membernumber",
        "custid", "customer", "client",
    ),
    "category": ("category", "categoryname", "productcategory", "itemcategory", "department"),
    "ordered_at": (
        "orderedat", "orderdate", "orderdatetime", "ordertimestamp", "invoicedate", "transactiontimestamp",
        "transactiondate", "transactiondatetime", "purchasedate", "saledate", "createdat", "datetime", "timestamp",
    ),
}  # fmt: skip
"""Header names in lower case without blanks and punctuation; where several are there, the first of a row is taken."""

TIME_PAIR = ("date", "time")
_USUAL = frozenset({*TIME_PAIR, *(name for names in USUAL_NAMES.values() for name in names)})
_NAMES_SHOWN = 20


@dataclass(frozen=True)
class Mapping:
    """Where each canonical column stands: positions in the header, several where values are joined.

    `extra` has the positions of the columns that the profile's rules name, by header name as the profile writes it.
    """

    columns: dict[str, tuple[int, ...]]
    extra: dict[str, int]

    def positions(self) -> tuple[int, ...]:
        """Every position in use, ascending."""
        used = {i for place in self.columns.values() for i in place} | set(self.extra.values())
        return tuple(sorted(used))

    def named(self, header: Sequence[str]) -> dict[str, str | list[str]]:
        """The mapping in header names, for people and the ledger."""
        return {
            column: header[place[0]] if len(place) == 1 else [header[i] for i in place]
            for column, place in self.columns.items()
        }


def plain_name(name: str) -> str:
    """A header name without case, blanks and punctuation.

    >>> plain_name(" Invoice_No. ")
    'invoiceno'
    """
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", name).casefold())


def map_header(header: Sequence[str], profile: SourceProfile, file: str) -> Mapping:
    """Finds the columns of a profile in a header, and the usual ones where the profile leaves them unsaid.

    Raises:
        DropUnmapped: a column the profile names is not there or there twice, or nothing looks like an order id or item.
    """
    places = _places(header)
    named = profile.columns.named()
    columns = {column: tuple(_place(name, places, header, file) for name in names) for column, names in named.items()}
    if not profile.columns.complete:
        columns = _recognise(places, taken=columns)
    missing = [] if "order_id" in columns else ["an order id"]
    missing += [] if "item_id" in columns or "item_name" in columns else ["an item"]
    if missing:
        raise DropUnmapped(
            f"{file} has no column that looks like {' or '.join(missing)}: {first_line(header, _USUAL)}.",
            hint=f"An order id (such as {_usual('order_id')}) and an item (such as {_usual('item_id')} or "
            f"{_usual('item_name')}) are needed: name yours in a source profile, and give header = false with names "
            "where the first line is no header. `reco inspect FILE` shows its first lines.",
            name=file,
            found=known_names(header, _USUAL),
            needed=["order_id", "item_id or item_name"],
        )
    rules = profile.rules
    extra = {one.column for one in (rules.cancelled, rules.excluded_status) if one is not None} | {*rules.strip_decimal}
    if rules.cancelled and rules.cancelled.order:
        extra.add(rules.cancelled.order)
    status = rules.excluded_status
    if status and status.if_present and not _found(status.column, places) and status.column not in rules.strip_decimal:
        extra.discard(status.column)
    return Mapping(columns, {name: _place(name, places, header, file) for name in sorted(extra)})


def recognised(header: Sequence[str]) -> dict[str, int]:
    """The columns that their usual names tell, by position, whether or not they do for orders."""
    return {column: place[0] for column, place in _recognise(_places(header), taken={}).items()}


def _places(header: Sequence[str]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for i, name in enumerate(header):
        for key in {name.strip(), "~" + plain_name(name)}:
            places.setdefault(key, []).append(i)
    return places


def _place(name: str, places: dict[str, list[int]], header: Sequence[str], file: str) -> int:
    found = _found(name, places)
    if len(found) != 1:
        known = _USUAL | {plain_name(name)}
        raise DropUnmapped(
            f"{file} has {'no' if not found else 'more than one'} column {name!r}: {first_line(header, known)}.",
            hint="Give the file with the columns its source profile names, or name its own in a source profile. "
            "`reco inspect FILE` shows its first lines.",
            name=file,
            found=known_names(header, known),
            needed=[name],
        )
    return found[0]


def _found(name: str, places: dict[str, list[int]]) -> list[int]:
    return places.get(name.strip()) or places.get("~" + plain_name(name)) or []


def _recognise(places: dict[str, list[int]], taken: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    columns = dict(taken)
    used = {i for place in taken.values() for i in place}
    for column, names in USUAL_NAMES.items():
        if column in columns:
            continue
        free = [places["~" + name] for name in names if len(places.get("~" + name, ())) == 1]
        place = next((found[0] for found in free if found[0] not in used), None)
        if place is not None:
            columns[column] = (place,)
            used.add(place)
    if "ordered_at" not in columns:
        pair = [places["~" + name][0] for name in TIME_PAIR if len(places.get("~" + name, ())) == 1]
        if pair and "~" + TIME_PAIR[0] in places and not used.intersection(pair):
            columns["ordered_at"] = tuple(pair)
    return columns


def known_names(header: Sequence[str], known: Collection[str]) -> list[str]:
    """Those fields of a first line that are names of columns: `known` are plain names (see `plain_name`)."""
    return [name for name in header if plain_name(name) in known]


def first_line(header: Sequence[str], known: Collection[str]) -> str:
    """What an error may say of a first line that could not be used: how many fields, and those that are known names.

    The others are not quoted. The line may be no header but somebody's order, and errors are stored and sent about.
    """
    names = known_names(header, known)
    listed = ", ".join(repr(name) for name in names[:_NAMES_SHOWN])
    listed += f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    fields = f"{len(header)} field{'' if len(header) == 1 else 's'}"
    return f"its first line has {fields}, " + (
        f"of which {listed} {'is' if len(names) == 1 else 'are'} known" if names else "none of them a known name"
    )


def _usual(column: str) -> str:
    return {"order_id": "order_id or InvoiceNo", "item_id": "product_id or SKU", "item_name": "item_name"}[column]
