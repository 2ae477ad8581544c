"""Item-item neighbours of the library implicit, cosine and BM25, as its documentation shows them.

Belongs here: what is run by the Python of an environment of its own, which knows nothing of ours. Does not belong here:
what is done with the result.
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

KIND = [("item", np.int64), ("other", np.int64), ("score", np.float64)]


def main(name: str, folder: Path, top: int) -> None:
    """Writes the neighbours of `items.npy`, `starts.npy` as `<name>.npy`, without those of an item by itself."""
    models, sparse = import_module("implicit.nearest_neighbours"), import_module("scipy.sparse")
    items, starts = np.load(folder / "items.npy"), np.load(folder / "starts.npy")
    orders = sparse.csr_matrix((np.ones(len(items)), items, starts), shape=(len(starts) - 1, int(items.max()) + 1))
    model: Any = getattr(models, name)(K=top + 1, num_threads=1)
    model.fit(orders, show_progress=False)
    found = model.similarity.tocoo()
    kept = (found.row != found.col) & (found.data > 0)
    np.save(folder / f"{name}.npy", np.rec.fromarrays([found.row[kept], found.col[kept], found.data[kept]], dtype=KIND))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
