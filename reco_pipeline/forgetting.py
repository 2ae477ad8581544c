"""Forgetting a customer as a whole: the parts, and every table that is made of them.

Belongs here: the order of these steps under the home's lock. Does not belong here: the steps (`reco.orders.forget`,
`reco.model.tables`).
"""

import datetime as dt
from collections.abc import Callable

from reco.model.choice import score_is_known, scores_in_force
from reco.model.tables import ITEM_STATS, make_cooccurrence, make_item_stats, make_similar
from reco.orders.forget import Remaining, carry_out, finish, make_plan, remaining, renamed_orders
from reco.orders.home import Home
from reco.orders.journal import Plan, read_journal
from reco.orders.orders import ORDERS, make_orders
from reco.snapshot.order_book import kept_snapshots, rename_orders
from reco.storage.homelock import home_lock

LOCK_SECONDS = 60.0


def forget(
    home: Home,
    customer: str,
    *,
    source: str | None,
    remove_raw: bool,
    now: dt.datetime,
    agreed: Callable[[Plan, Remaining], bool],
) -> tuple[Plan, Remaining, bool]:
    """Takes a customer out of everything in the home but what the second value names; the third: whether it was done.

    The tables that are made of the lines are made again, since the next publish proves that they belong together; what
    they count, and so what is served, does not change. A customer who stands in no line yet, but perhaps in drops that
    were not read, is remembered as forgotten for when they are. The orders kept beside each snapshot are looked through
    whether or not a line names the customer still: they may be of lines that are gone.

    Args:
        home: the shop.
        customer: the id as the shop writes it.
        source: only drops of this profile.
        remove_raw: also the files as they came.
        now: for the trail.
        agreed: is asked with what will be done, unless there is nothing to do.

    Raises:
        Busy: another run is at work, or another customer's removal was not ended.
    """
    with home_lock(home.settings.home, wait_seconds=LOCK_SECONDS):
        plan = make_plan(home, customer, source=source, remove_raw=remove_raw)
        left = remaining(home, plan)
        renamed = renamed_orders(home, plan)
        served = [one for one in kept_snapshots(home.lake) if rename_orders(home.lake, one, renamed, write=False)]
        begun = read_journal(home.settings.home) is not None
        nothing = (
            not begun and plan.empty and not served and (not left.unread or home.ledger.forgotten.has(customer, source))
        )
        if nothing or not agreed(plan, left):
            return plan, left, False
        carry_out(home, plan, now=now)
        for snapshot_id in served:
            rename_orders(home.lake, snapshot_id, renamed)
        if plan.keys and home.lake.path(ORDERS).is_file():
            make_orders(home.ledger, home.lake, now=now, run_id=None)
            if home.lake.path(ITEM_STATS).is_file() and score_is_known(home.lake, home.settings):
                scores = scores_in_force(home.lake, home.settings)
                make_item_stats(home.ledger, home.lake)
                make_cooccurrence(home.lake, scores)
                make_similar(home.lake, scores)
        finish(home, plan, now=now)
        return plan, left, True
