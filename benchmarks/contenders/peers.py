"""Peers at the matrix: cosine neighbours of each item, as the documentation of each library shows it.

Belongs here: one function a peer, run by the Python of its own environment, which knows nothing of ours. Does not
belong here: what is done with the result.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

TOP = 100
KIND = [("item", np.int64), ("other", np.int64), ("score", np.float64)]


def _matrix(folder: Path) -> Any:
    """Orders by items, ones where an order holds an item."""
    from scipy.sparse import csr_matrix  # noqa: PLC0415 - in the peers' environments only

    items, starts = np.load(folder / "items.npy"), np.load(folder / "starts.npy")
    return csr_matrix((np.ones(len(items)), items, starts), shape=(len(starts) - 1, int(items.max()) + 1))


def implicit(folder: Path) -> Any:
    """`CosineRecommender`; its neighbours have the item itself among them."""
    from implicit.nearest_neighbours import CosineRecommender  # noqa: PLC0415 - see above

    model = CosineRecommender(K=TOP + 1, num_threads=0)
    model.fit(_matrix(folder), show_progress=False)
    return model.similarity


def sparse_dot_topn(folder: Path) -> Any:
    """The product of the normalised matrix with itself, of each row the largest."""
    from sparse_dot_topn import sp_matmul_topn  # noqa: PLC0415 - see above

    matrix = _matrix(folder)
    matrix.data /= np.sqrt(np.bincount(matrix.indices, minlength=matrix.shape[1]))[matrix.indices]
    return sp_matmul_topn(matrix.T.tocsr(), matrix, top_n=TOP + 1, n_threads=2)


def sar(folder: Path) -> Any:
    """`SAR` with cosine; it keeps every pair of items, zeros too, from which the largest are taken."""
    import pandas as pd  # noqa: PLC0415 - see above
    from recommenders.models.sar import SAR  # noqa: PLC0415 - see above
    from scipy.sparse import csr_matrix  # noqa: PLC0415 - see above

    items, starts = np.load(folder / "items.npy"), np.load(folder / "starts.npy")
    lines = pd.DataFrame({"userID": np.repeat(np.arange(len(starts) - 1), np.diff(starts)), "itemID": items})
    model = SAR(similarity_type="cosine", timedecay_formula=False)
    model.fit(lines.assign(rating=1.0))
    dense = np.asarray(model.item_similarity)
    best = np.argpartition(-dense, min(TOP, dense.shape[1] - 1), axis=1)[:, : TOP + 1]
    named = np.array([model.index2item[one] for one in range(len(dense))])
    rows = np.repeat(np.arange(len(dense)), best.shape[1])
    kept = dense[rows, best.ravel()]
    return csr_matrix((kept, (named[rows], named[best.ravel()])), shape=(len(named), len(named)))


PEERS = {peer.__name__: peer for peer in (implicit, sparse_dot_topn, sar)}


def main(name: str, folder: Path, out: Path) -> None:
    """Writes the neighbours as item, other, score; those of an item by itself and without a score are left out."""
    found = PEERS[name](folder).tocoo()
    kept = (found.row != found.col) & (found.data > 0)
    np.save(out, np.rec.fromarrays([found.row[kept], found.col[kept], found.data[kept]], dtype=KIND))
    print(json.dumps({}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
