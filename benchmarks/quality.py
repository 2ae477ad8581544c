"""How good the recommendations are, on public orders: our scores beside popularity, raw counts and EASE.

Belongs here: reading those orders, the protocol of the published figures, and peers that only serve as a yardstick.
Does not belong here: the evaluation itself (`reco.model.evaluation`), which a shop's own runs use too.

    python -m benchmarks.quality complete-journey --peers

RECO_REAL_DATA names the folder of the files. Everything is learnt from the earlier orders only.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import numpy as np

from benchmarks.contenders import implicit_lists as implicit_script
from benchmarks.contenders.ease import EASE, SCALED, regress
from reco.model.baskets import Baskets
from reco.model.evaluation.answers import Answers, Lists, answer, most_popular
from reco.model.evaluation.contenders import learn
from reco.model.evaluation.figures import METRICS, difference, figures_of
from reco.model.evaluation.protocol import Protocol, Split, make_split
from reco.model.scores import REGRESSION_SIZE, TOP, ScoreSettings


@dataclass(frozen=True)
class Shop:
    """Public orders.

    query: rows of an `orders` table; share: of the newest orders asked about; item_orders, basket: as in `Protocol`.
    """

    query: str
    share: float
    item_orders: int
    basket: int


SHOPS = {
    "complete-journey": Shop(
        "SELECT basket_id AS o, product_id AS i, household_id AS c, "
        "TIMESTAMP '2017-01-01' + INTERVAL (7 * week) DAY AS t "
        "FROM read_csv('{data}/complete_journey_transactions.csv.gz') WHERE quantity > 0 AND sales_value > 0",
        share=0.0,
        item_orders=20,
        basket=3,
    ),
    "instacart": Shop(
        "SELECT order_id AS o, product_id AS i, NULL AS c, NULL::TIMESTAMP AS t "
        "FROM read_csv('{data}/instacart_train_order_products.csv.gz') WHERE true",
        share=0.1,
        item_orders=20,
        basket=3,
    ),
    "uci": Shop(
        "SELECT InvoiceNo AS o, upper(StockCode) AS i, CustomerID AS c, min(InvoiceDate) OVER (PARTITION BY InvoiceNo) "
        "AS t FROM read_csv('{uci}/**/*.csv', types = {{'InvoiceNo': 'VARCHAR', 'CustomerID': 'VARCHAR', 'StockCode': "
        "'VARCHAR'}}) WHERE Quantity > 0 AND UnitPrice > 0",
        share=0.2,
        item_orders=20,
        basket=3,
    ),
    "groceries": Shop(
        'SELECT "transaction" AS o, item AS i, NULL AS c, NULL::TIMESTAMP AS t '
        "FROM read_csv('{data}/arules_groceries.csv.gz') WHERE true",
        share=0.2,
        item_orders=5,
        basket=2,
    ),
}

_COPY = (
    "COPY (SELECT 's' AS source, o::VARCHAR AS order_id, i::VARCHAR AS item_id, any_value(c)::VARCHAR AS customer_id, "
    "min(t)::TIMESTAMP AS ordered_at FROM ({query}) GROUP BY ALL ORDER BY 1, 2, 3) TO '{path}' (FORMAT parquet)"
)

ALL = 10**9
POWERS = ScoreSettings(
    score="powers", order_size_power=0.5, item_power=0.75, other_power=0.35, sharpness=1.2, min_pair_orders=2
)
REGRESSION = ScoreSettings(score="regression", order_size_power=REGRESSION_SIZE, candidates=200, ridge=6)
FIRST_TRY = replace(POWERS, item_power=0.7)
CONTENDERS: dict[str, ScoreSettings | None] = {
    "count": None,
    "confidence": ScoreSettings(score="confidence"),
    "llr": ScoreSettings(score="llr"),
    "jaccard": ScoreSettings(score="jaccard"),
    "cosine": ScoreSettings(),
    "first try": FIRST_TRY,
    "powers": POWERS,
    "regression": REGRESSION,
    "cosine, all": replace(ScoreSettings(), top=ALL),
}


def read_shop(name: str, data: Path) -> Baskets:
    """The orders of a public shop."""
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as con:
        con.execute("SET threads = 1")
        con.execute("SET enable_progress_bar = false")  # it would go to stdout
        uci = Path(folder) / "uci"
        if name == "uci":
            import tarfile  # noqa: PLC0415 - one shop's own

            with tarfile.open(data / "online_retail_by_day.tar.gz") as archive:
                archive.extractall(uci, filter="data")
        path = Path(folder) / "orders.parquet"
        query = SHOPS[name].query.format(data=data, uci=uci)
        con.execute(_COPY.format(query=query, path=path))
        return Baskets.read(path, times=True, customers=True)


def split_of(name: str, baskets: Baskets, *, weeks: tuple[int, int] | None = None) -> Split:
    """The split of the published figures: weeks 1-44 and 45-53 of Complete Journey, elsewhere the newest share."""
    shop = SHOPS[name]
    protocol = Protocol(shop.share, shop.item_orders, shop.basket, max_questions=ALL)
    if name != "complete-journey":
        return make_split(baskets, protocol)
    assert baskets.ordered_at is not None, "read with times"
    first, last = weeks or (45, 53)
    start = np.datetime64("2017-01-01", "us").astype(np.int64)
    week = (baskets.ordered_at - start) // (7 * 86_400_000_000)
    baskets, week = baskets.take(week <= last), week[week <= last]
    return make_split(baskets, protocol, week >= first)


def implicit_lists(split: Split, model: str, python: Path) -> Lists:
    """The neighbours that the library implicit finds for the same orders, in the environment of this interpreter."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "items.npy", split.learnt.items.codes)
        np.save(Path(folder) / "starts.npy", np.append(split.learnt.starts, len(split.learnt.items.codes)))
        script = Path(implicit_script.__file__)
        subprocess.run([python, script, model, folder, str(TOP)], check=True)
        found = np.load(Path(folder) / f"{model}.npy")
    found = found[np.argsort(found["item"], kind="stable")]
    starts = np.searchsorted(found["item"], np.arange(len(split.place) + 1))
    return Lists(starts, found["other"].copy(), found["score"].copy())


def compare(
    split: Split, contenders: dict[str, ScoreSettings | None], *, peers: bool, implicit: Path | None = None
) -> None:
    """Prints a Markdown table of all contenders at the same questions (see `evaluation.figures`)."""
    found: dict[str, Answers] = {"popularity": most_popular(split)}
    for name, settings in contenders.items():
        found[name] = answer(learn(split.learnt, {name: settings})[name], split)
    if peers:
        found["EASE, all"], found["EASE"] = (answer(one, split) for one in regress(split, EASE, ALL, TOP))
        found["scaled EASE"] = answer(regress(split, SCALED, TOP)[0], split)
    for model in ("CosineRecommender", "BM25Recommender") if implicit else ():
        found[f"implicit {model}"] = answer(implicit_lists(split, model, implicit or Path()), split)
    base = found.get("cosine")
    print("| contender | HR@10 | NDCG@10 | MRR | repeat | explore | coverage | novelty | bias | HR@10 less cosine |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, answers in found.items():
        one = figures_of(answers, split)
        shown = [f"{getattr(one, m):.4f} ± {getattr(one, f'{m}_error'):.4f}" for m in METRICS]
        shown += ["" if part is None else f"{part:.3f}" for part in (one.repeat_rate, one.explore_rate)]
        shown += [f"{one.coverage:.2f}", f"{one.novelty or 0:.2f}", f"{one.popularity_bias or 0:.2f}"]
        shown.append("" if base is None else "{:+.4f} ± {:.4f}".format(*difference(answers, base, "hit_rate")))
        print(f"| {name} | {' | '.join(shown)} |", flush=True)


def main() -> None:
    """Compares all contenders on one shop."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("shop", choices=sorted(SHOPS))
    parser.add_argument("--peers", action="store_true", help="also EASE (minutes, and a gigabyte and a half)")
    parser.add_argument("--implicit", type=Path, help="the Python of an environment with implicit: also its neighbours")
    parser.add_argument("--weeks", nargs=2, type=int, help="Complete Journey: the weeks asked about (45 53)")
    given = parser.parse_args()
    data = os.environ.get("RECO_REAL_DATA")
    if not data:
        sys.exit("RECO_REAL_DATA does not name the folder of the public order files.")
    split = split_of(given.shop, read_shop(given.shop, Path(data)), weeks=given.weeks and tuple(given.weeks))
    print(
        f"{given.shop}: {len(split.learnt.starts):,} orders learnt from, {split.known:,} items, "
        f"{len(split.questions):,} questions, {'later orders' if split.by_time else 'a random share of the orders'}\n"
    )
    compare(split, CONTENDERS, peers=given.peers, implicit=given.implicit)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(f"\n{used.ru_utime + used.ru_stime:.0f} CPU seconds, {used.ru_maxrss / 1024:,.0f} MB")


if __name__ == "__main__":
    main()
