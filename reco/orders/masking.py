"""Customers in what people are shown of quarantined lines: masked where the profile pseudonymises, and put back.

Belongs here: the mask in exports and on the terminal, and taking it away from a mended row. Does not belong here:
pseudonyms in tables (`reco.orders.privacy`), or forgetting (`reco.orders.forget`).

A line that could not be told apart into fields stands as it came: nobody knows where its customer is, and it could not
be mended otherwise.
"""

from collections.abc import Sequence

from reco.orders.fields import field_spans, replace_fields
from reco.orders.ledger import Drop
from reco.orders.privacy import HIDDEN


def masked_places(drop: Drop) -> frozenset[int]:
    """Positions in the header whose values are hidden from people; none where the profile does not pseudonymise."""
    name = (drop.mapping or {}).get("customer_id")
    if not drop.profile.get("privacy", {}).get("pseudonymise") or not isinstance(name, str):
        return frozenset()
    return frozenset(place for place, one in enumerate(drop.header or ()) if one == name)


def mask(fields: Sequence[str], drop: Drop) -> tuple[str, ...]:
    """The fields of a line as an export shows them; an empty one stays empty, which may be what is wrong."""
    places = masked_places(drop)
    return tuple(HIDDEN if place in places and value.strip() else value for place, value in enumerate(fields))


def unmask(cells: Sequence[str], fields: Sequence[str] | None, drop: Drop) -> tuple[str, ...]:
    """The cells of a mended row with the line's own customer where the mask was left; `fields` as the line has them."""
    places = masked_places(drop) if fields is not None else frozenset()
    return tuple(
        fields[place] if fields is not None and place in places and cell.strip() == HIDDEN else cell
        for place, cell in enumerate(cells)
    )


def mask_text(text: str, drop: Drop) -> str:
    """The text of a line with its customer hidden, where it has a field for every column."""
    places, dialect = masked_places(drop), drop.dialect or {}
    spans = field_spans(text, dialect.get("delimiter") or ",", dialect.get("quote") or "") if places else None
    if spans is None or len(spans) != len(drop.header or ()):
        return text
    return replace_fields(text, spans, places, dialect.get("quote") or "", lambda value: HIDDEN if value else value)
