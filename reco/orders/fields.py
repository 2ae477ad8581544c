"""Where the fields of one record stand in its text.

Belongs here: finding and replacing a field without touching another byte of the record. Does not belong here: reading
values out of files (`reco.orders.records`), or which field is a customer's (`reco.orders.redact`).
"""

from collections.abc import Callable, Iterable, Sequence


def field_spans(text: str, delimiter: str, quote: str) -> list[tuple[int, int]] | None:
    """Start and end of each field of a record, quotes included; None where a quote is not closed or text follows it.

    Args:
        text: one record without its line end.
        delimiter: one character.
        quote: one character, or empty for files that know none.

    >>> field_spans('1,"a,b",', ",", '"')
    [(0, 1), (2, 7), (8, 8)]
    """
    at, found = 0, []
    while True:
        end = _closed(text, at, quote) if quote and text.startswith(quote, at) else text.find(delimiter, at)
        if end is None or (end < len(text) and end >= 0 and text[end] != delimiter):
            return None
        end = len(text) if end < 0 else end
        found.append((at, end))
        if end >= len(text):
            return found
        at = end + 1


def _closed(text: str, at: int, quote: str) -> int | None:
    """Where the quoted field that begins here ends; a doubled quote is part of it."""
    end = at + 1
    while (end := text.find(quote, end)) >= 0:
        if not text.startswith(quote, end + 1):
            return end + 1
        end += 2
    return None


def unquoted(field: str, quote: str) -> str:
    """The value of a field as it stands in the text.

    >>> unquoted("'a ''b'' c'", "'")
    "a 'b' c"
    """
    if quote and len(field) > 1 and field.startswith(quote):
        return field[1:-1].replace(quote * 2, quote)
    return field


def replace_fields(
    text: str, spans: Sequence[tuple[int, int]], places: Iterable[int], quote: str, change: Callable[[str], str]
) -> str:
    """The record with the values in these places changed; quotes and blanks around a value stay.

    `change` gets the value without either, and must not give one that needs quotes where there were none.
    """
    for place in sorted(places, reverse=True):
        start, end = spans[place]
        field = text[start:end]
        inner = unquoted(field, quote)
        value = inner.strip()
        new = change(value)
        if new != value:
            around = inner.replace(value, new, 1)
            quoted = quote + around.replace(quote, quote * 2) + quote if quote and field.startswith(quote) else around
            text = text[:start] + quoted + text[end:]
    return text
