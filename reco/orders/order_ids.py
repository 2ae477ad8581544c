"""Order ids that are made of several columns.

Belongs here: joining the parts so that different parts never give the same id, and taking them apart. Does not belong
here: which columns they are (`reco.orders.headers`).

Parts stand beside each other with a bar between them. Where a part has a bar of its own, the id begins with one, which
no other does, and in its parts bar and percent sign are percent-encoded.
"""

from collections.abc import Sequence

JOINER = "|"


def joined(parts: Sequence[str]) -> str:
    """The SQL expression of the id made of these expressions of text, which none of them may change by being null."""
    plain = f" || '{JOINER}' || ".join(parts)
    encoded = "".join(f" || '{JOINER}' || replace(replace({part}, '%', '%25'), '{JOINER}', '%7C')" for part in parts)
    barred = " OR ".join(f"contains({part}, '{JOINER}')" for part in parts)
    return f"CASE WHEN {barred} THEN ''{encoded} ELSE {plain} END"


def parts_of(order_id: str) -> list[str]:
    """The parts of an id.

    >>> parts_of("2024-01-05|17"), parts_of("|a%7Cb|5%25")
    (['2024-01-05', '17'], ['a|b', '5%'])
    """
    if not order_id.startswith(JOINER):
        return order_id.split(JOINER)
    return [part.replace("%7C", JOINER).replace("%25", "%") for part in order_id[1:].split(JOINER)]
