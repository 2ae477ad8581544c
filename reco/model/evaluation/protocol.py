"""What is asked: which orders a model may learn from, and which items of later orders it has to find.

Belongs here: the split and the questions. Does not belong here: answering them (`answers`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reco.model.baskets import NEVER, Baskets
from reco.storage.columns import NULL, Ints

SEED = 20_260_101


@dataclass(frozen=True, slots=True)
class Protocol:
    """Hidden-item basket completion.

    test_share: the newest share of the orders is asked about, the rest is learnt from; min_item_orders: only items in
    at least so many orders of the learnt part take part, in both parts; min_basket: orders with at least so many such
    items are asked about, one of which is hidden; max_questions: more are sampled down; seed: which item is hidden,
    which questions are kept, and the split of orders without times.
    """

    test_share: float = 0.2
    min_item_orders: int = 5
    min_basket: int = 2
    max_questions: int = 5000
    seed: int = SEED


@dataclass(frozen=True, slots=True)
class Questions:
    """Baskets from which one item is hidden.

    starts, sizes: the run of each question's items in `items`; items: codes of what is left in the basket; hidden:
    code of the hidden item; repeated: whether the customer had bought it in the learnt part (None: no question has a
    known customer); asked: by question, whether its customer is known.
    """

    starts: Ints
    sizes: Ints
    items: Ints
    hidden: Ints
    repeated: NDArray[np.bool_] | None = None
    asked: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.hidden)


@dataclass(frozen=True, slots=True)
class Split:
    """learnt: the orders a model may see, restricted to items that take part; orders: n_i there, by code.

    by_time: the questions are of later orders; otherwise (no times) of a random share. place: the popularity place of
    each item, 0 the first; items that do not take part come last. known: how many take part.
    """

    learnt: Baskets
    questions: Questions
    orders: Ints
    place: Ints
    known: int
    by_time: bool


def newest_share(baskets: Baskets, share: float, seed: int) -> tuple[NDArray[np.bool_], bool]:
    """The newest share of the orders, as flags, and whether times decided; a random share where no order has a time.

    Orders of one moment stay together, on the later side.
    """
    count = len(baskets.starts)
    times = baskets.ordered_at
    if times is None or not count or (times == NEVER).all():
        return np.random.default_rng(seed).random(count) < share, False
    border = np.sort(times)[min(count - 1, int(count * (1 - share)))]
    return times >= border, True


def make_split(baskets: Baskets, protocol: Protocol, test: NDArray[np.bool_] | None = None) -> Split:
    """Splits orders and hides items.

    Args:
        baskets: with times, and with customers where repeats are to be told apart.
        protocol: see there.
        test: by order, whether it is asked about; None: the newest share.
    """
    by_time = True
    if test is None:
        test, by_time = newest_share(baskets, protocol.test_share, protocol.seed)
    width = len(baskets.items)
    learnt = baskets.take(~test)
    orders = learnt.item_totals(None)
    takes_part = orders >= protocol.min_item_orders
    learnt = learnt.only(takes_part)
    orders = np.where(takes_part, orders, 0)
    place = np.empty(width, np.int64)
    place[np.lexsort((np.arange(width), -orders))] = np.arange(width)
    questions = _questions(baskets.take(test).only(takes_part), baskets, ~test, protocol)
    return Split(learnt, questions, orders, place, int(np.count_nonzero(takes_part)), by_time)


def _questions(asked: Baskets, whole: Baskets, learnt: NDArray[np.bool_], protocol: Protocol) -> Questions:
    chance = np.random.default_rng(protocol.seed)
    chosen = np.flatnonzero(asked.sizes >= max(2, protocol.min_basket))
    if len(chosen) > protocol.max_questions:
        chosen = np.sort(chance.choice(chosen, protocol.max_questions, replace=False))
    asked = asked.take(np.isin(np.arange(len(asked.starts)), chosen))
    items = asked.items.codes.astype(np.int64)
    out = asked.starts + (chance.random(len(asked.starts)) * asked.sizes).astype(np.int64)
    hidden = items[out]
    sizes = asked.sizes - 1
    starts = np.cumsum(sizes) - sizes
    questions = Questions(starts, sizes, np.delete(items, out), hidden)
    if asked.customers is None or whole.customers is None or (asked.customers == NULL).all():
        return questions
    width = len(whole.items)
    before = whole.take(learnt)
    assert before.customers is not None, "the same columns as the whole"
    bought = np.unique(np.repeat(before.customers, before.sizes) * width + before.items.codes)
    repeated = np.isin(asked.customers * width + hidden, bought)
    return Questions(starts, sizes, questions.items, hidden, repeated, asked.customers != NULL)
