"""Our way in a bare process, without Dagster: from a CSV file to similar items, and with `--publish` to a snapshot.

Belongs here: the library calls of a run, in their order, without an orchestrator. Does not belong here: a shortcut that
a run does not take. Home and Redis come from the settings, as everywhere.
"""

import datetime as dt
import json
import sys
from pathlib import Path

from reco.lean import run_process


def main(csv: Path, *, publish: bool) -> int:
    """Registers, reads, checks and computes; then publishes if asked."""
    # Imported here, as a command of ours does, whose process begins with `run_process`.
    from reco.model.scores import ScoreSettings  # noqa: PLC0415 - see above
    from reco.model.tables import make_cooccurrence, make_item_stats, make_similar  # noqa: PLC0415 - see above
    from reco.orders.home import open_home  # noqa: PLC0415 - see above
    from reco.orders.ingest import ingest  # noqa: PLC0415 - see above
    from reco.orders.orders import make_orders  # noqa: PLC0415 - see above
    from reco.orders.profiles import load_profile  # noqa: PLC0415 - see above
    from reco.settings import load_settings  # noqa: PLC0415 - see above

    now = dt.datetime.now(dt.UTC)
    home = open_home(load_settings())
    given = home.ledger.register([(csv, load_profile("prototype"))], now=now)
    (read,) = ingest(home.ledger, [one.drop.key for one in given if one.drop], now=now, run_id=None)
    make_orders(home.ledger, home.lake, now=now, run_id=None)
    make_item_stats(home.ledger, home.lake)
    scores = ScoreSettings.of(home.settings)
    pairs, _ = make_cooccurrence(home.lake, scores)
    similar, _ = make_similar(home.lake, scores)
    if publish:
        from reco.snapshot.release import release  # noqa: PLC0415 - not part of the work up to similar items
        from reco.storage.redis import open_redis  # noqa: PLC0415 - see above

        with open_redis(home.settings) as client:
            release(home, client, run_id=None, now=now)
    print(
        json.dumps({"lines_read": read.counts.lines_read, "pairs": pairs.pairs, "items_with_neighbour": similar.items})
    )
    return 0


if __name__ == "__main__":
    run_process(lambda: main(Path(sys.argv[1]), publish="--publish" in sys.argv))
