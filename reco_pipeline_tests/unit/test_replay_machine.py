"""The sums hold whatever is done in whatever order: mended, given twice, retracted, given again, read anew, expired."""

import csv
import datetime as dt
import io
import tempfile
from pathlib import Path

import polars as pl
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from reco.orders import quarantine
from reco.orders.home import open_home
from reco.orders.ingest import ingest
from reco.orders.ledger import DropStatus
from reco.orders.mending import write_export
from reco.orders.orders import ORDERS, make_orders
from reco.orders.profiles import SourceProfile, load_profile
from reco.orders.quarantine import Selection
from reco.orders.replay import replay_file, replay_lines
from reco.orders.retention import expire
from reco.settings import Settings

NOON = dt.datetime(2024, 6, 1, 12, tzinfo=dt.UTC)
LINES = 5
TEXT = "order_id,item_id,quantity\n" + "".join(f"o{n},PID,x{n}\n" for n in range(LINES)) + "good,PID,1\n"
NUMBERS = st.integers(0, LINES - 1)
CELLS = st.sampled_from(["1", "2", "wrong", ""])
LEAVES_OUT = SourceProfile.checked(
    {"name": "other", "columns": {"order_id": "order_id", "item_id": "item_id"}, "rules": {"exclude_items": ["PID"]}},
    "",
)


class Replays(RuleBasedStateMachine):
    """One drop of one good line and five bad ones, beside what ought to be open and in the orders."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name)
        self.home = open_home(Settings(home=self.root / "home"))
        self.settled: dict[int, int | None] = {}
        self.files: list[tuple[int, Path]] = []
        self.standing = False
        self.expired = False

    def teardown(self) -> None:
        """Leaves no folder behind."""
        self.folder.cleanup()

    @initialize()
    def give(self) -> None:
        """The file comes in, or comes again."""
        (self.root / "orders.csv").write_text(TEXT)
        (one,) = self.home.ledger.register([(self.root / "orders.csv", load_profile("auto"))], now=NOON)
        assert one.drop is not None
        ingest(self.home.ledger, [one.drop.key], now=NOON, run_id=None)
        self.standing = True
        self.expired = False

    @precondition(lambda self: not self.standing)
    @rule()
    def give_again(self) -> None:
        """A retracted drop is brought back: read anew, with nothing replayed."""
        self.settled = {}
        self.give()

    @precondition(lambda self: self.standing)
    @rule()
    def retract(self) -> None:
        """Its replays go with it."""
        self.home.ledger.retract("orders.csv", now=NOON, reason="")
        self.standing = False

    @precondition(lambda self: self.standing)
    @rule()
    def read_anew(self) -> None:
        """As when a partition is materialized again."""
        ingest(self.home.ledger, [self.home.ledger.drops()[0].key], now=NOON, run_id=None)
        self.expired = False

    @precondition(lambda self: self.standing)
    @rule()
    def expire_text(self) -> None:
        """The text of all lines goes, not the lines."""
        expire(self.home, days=1, now=NOON + dt.timedelta(days=2))
        self.expired = True

    @precondition(lambda self: self.standing and not self.expired)
    @rule(changes=st.dictionaries(NUMBERS, CELLS, min_size=1))
    def mend(self, changes: dict[int, str]) -> None:
        """The open lines are exported, some mended well or badly, and given back."""
        drops = self.home.ledger.drops()
        target = io.StringIO(newline="")
        write_export(target, drops, quarantine.lines(self.home.ledger, self.home.lake, drops, only_open=True))
        rows = list(csv.reader(io.StringIO(target.getvalue().removeprefix("\ufeff"), newline="")))
        changed = {f"o{number}": cell for number, cell in changes.items()}
        for row in rows[1:]:
            row[-1] = changed.get(row[-3].removeprefix("'"), row[-1])
        path = self.root / f"mended-{len(self.files)}.csv"
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(rows)
        self.files.append((drops[0].batch, path))
        report = replay_file(self.home, path, now=NOON, actor="")
        assert report.refused == []
        news = {n: int(cell) for n, cell in changes.items() if n not in self.settled and cell.isdigit()}
        assert report.total("lines_accepted") == len(news)
        self.settled |= news

    @precondition(lambda self: self.files)
    @rule(which=st.integers(0, 99))
    def give_back_again(self, which: int) -> None:
        """A file that was given back before brings nothing; where its drop went meanwhile it is refused."""
        batch, path = self.files[which % len(self.files)]
        report = replay_file(self.home, path, now=NOON, actor="")
        assert report.total("lines_given") == 0
        now = self.home.ledger.drops()[0].batch
        assert bool(report.refused) == (len(path.read_text().splitlines()) > 1 and not (self.standing and batch == now))

    @precondition(lambda self: self.standing)
    @rule()
    def another_rule(self) -> None:
        """A profile without a quantity reads the open lines, and its rule leaves them out."""
        report = replay_lines(self.home, Selection(), LEAVES_OUT, now=NOON, actor="")
        due = set() if self.expired else set(range(LINES)) - self.settled.keys()
        assert report.total("lines_excluded") == len(due)
        self.settled |= dict.fromkeys(due)

    @invariant()
    def it_adds_up(self) -> None:
        """The first counts stay, and quarantined = replayed + open, in the ledger and in the lake."""
        if not self.standing:
            return
        assert self.home.ledger.imbalances() == []
        (drop,) = self.home.ledger.drops(status=DropStatus.INGESTED)
        assert (drop.lines_read, drop.lines_accepted, drop.lines_quarantined) == (LINES + 1, 1, LINES)
        assert drop.lines_open == LINES - len(self.settled)
        make_orders(self.home.ledger, self.home.lake, now=NOON, run_id=None)
        rows = pl.read_parquet(self.home.lake.path(ORDERS)).select("order_id", "quantity").rows()
        assert dict(rows) == {"good": 1} | {f"o{n}": q for n, q in self.settled.items() if q is not None}


TestReplays = Replays.TestCase
TestReplays.settings = settings(max_examples=5, stateful_step_count=6)
