"""The orders and the catalogue of a made-up shop for walkers, for pages that people look at.

Belongs here: drawing them, the same each time. Does not belong here: any claim.
"""

import datetime as dt
import random

SHELVES = {
    "Camp > Tents": {
        "Ridge Tent 2P": 279,
        "Ridge Tent 3P": 349,
        "Tarp 3 x 3 m": 89,
        "Groundsheet": 39,
        "Steel Pegs, set of 10": 12.5,
    },
    "Camp > Sleeping": {
        "Down Bag -5 °C": 245,
        "Summer Bag +8 °C": 99,
        "Sleeping Mat R4": 119,
        "Foam Mat": 25,
        "Inflatable Pillow": 19.9,
    },
    "Cook": {
        "Gas Stove": 59,
        "Gas Cartridge 230 g": 6.5,
        "Titanium Pot 900 ml": 49,
        "Spork": 4.9,
        "Lighter": 2.5,
        "Water Filter": 45,
    },
    "Carry": {"Rucksack 55 l": 189, "Rucksack 30 l": 119, "Rain Cover": 22, "Dry Bag 8 l": 14.9, "Hip Pouch": 29},
    "Wear": {
        "Rain Jacket": 199,
        "Merino Socks": 17.9,
        "Merino Shirt": 69,
        "Walking Boots": 179,
        "Boot Wax": 9.9,
        "Gaiters": 44,
    },
    "Find the way": {
        "Map 1:25,000": 12.9,
        "Compass": 34,
        "Head Torch": 49,
        "AAA Batteries": 5.9,
        "Whistle": 3.5,
        "First Aid Kit": 27,
    },
}
TOGETHER = [
    ("Ridge Tent 2P", "Groundsheet", "Steel Pegs, set of 10"),
    ("Ridge Tent 3P", "Groundsheet"),
    ("Tarp 3 x 3 m", "Steel Pegs, set of 10"),
    ("Down Bag -5 °C", "Sleeping Mat R4", "Inflatable Pillow"),
    ("Summer Bag +8 °C", "Foam Mat"),
    ("Gas Stove", "Gas Cartridge 230 g", "Titanium Pot 900 ml"),
    ("Gas Cartridge 230 g", "Lighter"),
    ("Titanium Pot 900 ml", "Spork"),
    ("Rucksack 55 l", "Rain Cover"),
    ("Rucksack 30 l", "Dry Bag 8 l"),
    ("Walking Boots", "Merino Socks", "Boot Wax"),
    ("Rain Jacket", "Gaiters"),
    ("Map 1:25,000", "Compass"),
    ("Head Torch", "AAA Batteries"),
    ("Merino Shirt", "Merino Socks"),
]
END = dt.datetime(2026, 3, 1, 18, tzinfo=dt.UTC)


def catalogue_csv() -> str:
    """Every item with its shelf, price and stock."""
    rows = [
        f'"{name}","{shelf}",{price},{"no" if name == "Compass" else "yes"}'
        for shelf, items in SHELVES.items()
        for name, price in items.items()
    ]
    return "\n".join(["item_id,category,price,in_stock", *rows]) + "\n"


def orders_csv(count: int = 4000, seed: int = 7) -> str:
    """Orders of 80 days; some lines lack an item, which leaves them in the quarantine."""
    draw = random.Random(seed)
    names = [name for items in SHELVES.values() for name in items]
    lines = ["order_id,item_name,quantity,unit_price,order_date"]
    prices = {name: price for items in SHELVES.values() for name, price in items.items()}
    for number in range(count):
        at = END - dt.timedelta(minutes=draw.randrange(80 * 1440))
        winter = at < END - dt.timedelta(days=28)
        basket = {name for name in draw.choice(TOGETHER) if draw.random() < 0.75}
        basket |= {
            name
            for name in draw.choices(names, k=draw.choice((0, 0, 1, 1, 2)))
            if not (winter and name == "Summer Bag +8 °C")
        }
        if not winter and draw.random() < 0.06:
            basket |= {"Summer Bag +8 °C", "Foam Mat"}
        quantity = {name: draw.choice((1, 1, 1, 2)) for name in sorted(basket)}
        lines += [
            f'A{10000 + number},"{name}",{many},{prices[name]},{at:%Y-%m-%d %H:%M:%S}'
            for name, many in quantity.items()
        ]
        if draw.random() < 0.006:
            lines.append(f"A{10000 + number},,1,,{at:%Y-%m-%d %H:%M:%S}")
    return "\n".join(lines) + "\n"
