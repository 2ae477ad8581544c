"""What a snapshot is made of, in one digest.

Belongs here: that digest alone, so that a backup, which notes it, loads none of what computes a model. Does not belong
here: making anything of it (`reco.snapshot.release`).
"""

from reco import __version__
from reco.catalog.ledger import CATALOGUE
from reco.model.choice import scoring_rule
from reco.orders.home import Home
from reco.orders.ledger import DropStatus, inputs_digest
from reco.storage.lake import file_digest


def model_inputs(home: Home) -> str:
    """One digest of everything a snapshot is made of: drops, item names, code version and score settings."""
    names = home.lake.path(CATALOGUE)
    return inputs_digest(
        home.ledger.drops(status=DropStatus.INGESTED),
        file_digest(names) if names.is_file() else "",
        __version__,
        scoring_rule(home.settings),
    )
