"""MIM-Refiner's alignment over feature vectors alone, without images.

Views of an item are its standardised vector with noise and dropped numbers; a small network is trained so that the
views of an item and of its nearest neighbour agree, by the same heads, queues and loss as for images. Measured is how
many users the five nearest items share, for one of random items, before and after. The package has no command for it:
it is left out because of what this shows.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from recbole_mm.refinement.refiner import HeadSize, RefinerHead

NEIGHBOURS = 5
VIEWS = 4
BATCH = 256
RATE = 1e-3
NOISE, DROPPED = 0.5, 0.5  # of a standardised number
ALONE = 0.25  # of the epochs, in which the nearest neighbour is taken; later one of `NEIGHBOURS`


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--train", required=True, help="training interactions: user and item as numbers from 0")
    parser.add_argument("--features", required=True, nargs="+", help="files of vectors (.npy), row i of item i")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seeds", type=int, nargs="+", default=[2020, 2021, 2022])
    parser.add_argument("--out", help="folder that gets the refined vectors of the first seed")
    known = parser.parse_args(argv)
    torch.set_num_threads(1)
    sys.stdout.write("| features | raw | standardised | refined, linear | refined, network |\n|---|--:|--:|--:|--:|\n")
    for file in map(Path, known.features):
        X = torch.from_numpy(np.load(file, allow_pickle=False).astype(np.float32))
        shared = shared_users(Path(known.train), len(X))
        rows = (X - X.mean(0)) / (X.std(0) + 1e-6)
        cells = [f"{ratio(X, shared):.2f}", f"{ratio(rows, shared):.2f}"]
        for linear in (True, False):
            made = [refined(rows, linear, known.epochs, seed) for seed in known.seeds]
            found = np.array([ratio(one, shared) for one in made])
            cells.append(f"{found.mean():.2f} ± {found.std(ddof=1) if len(found) > 1 else 0:.2f}")
            if known.out and linear:
                Path(known.out).mkdir(parents=True, exist_ok=True)
                np.save(Path(known.out) / file.name, made[0].numpy())
        sys.stdout.write(f"| {file.stem} | {' | '.join(cells)} |\n")
        sys.stdout.flush()


def shared_users(file: Path, n_items: int) -> sp.csr_array:
    """Return how many users two items share, (n_items, n_items), without the diagonal."""
    lines = file.read_text(encoding="utf-8").splitlines()
    pairs = np.array([line.split("\t")[:2] for line in lines if line[:1].isdigit()], dtype=np.int64)
    users, items = pairs.T
    held = sp.csr_array((np.ones(len(pairs)), (users, items)), shape=(users.max() + 1, n_items))
    held.data[:] = 1
    together = sp.csr_array(held.T @ held)
    together.setdiag(0)
    together.eliminate_zeros()
    return together


def ratio(X: Tensor, shared: sp.csr_array) -> float:
    """Return the mean number of users that an item shares with its nearest ones, for one with random items."""
    known = np.flatnonzero(np.diff(shared.indptr) > 0)
    unit = F.normalize(X[known], dim=1)
    near = (unit @ unit.T).fill_diagonal_(-2).topk(NEIGHBOURS, dim=1).indices.numpy()
    among = shared[known][:, known]
    mean = among.sum() / (len(known) * (len(known) - 1))
    return float(among[np.repeat(np.arange(len(known)), NEIGHBOURS), near.ravel()].mean() / mean)


class Changed(nn.Module):
    """Adds to a vector what a layer, or a small network, makes of it; nothing at the start."""

    def __init__(self, d: int, linear: bool) -> None:
        super().__init__()
        last = nn.Linear(d if linear else 2 * d, d)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        first = [] if linear else [nn.Linear(d, 2 * d), nn.BatchNorm1d(2 * d), nn.GELU()]
        self.layers = nn.Sequential(*first, last)

    def forward(self, X: Tensor) -> Tensor:
        changed: Tensor = X + self.layers(X)
        return changed


def refined(X: Tensor, linear: bool, epochs: int, seed: int) -> Tensor:
    """Return the vectors (n, d) after training."""
    torch.manual_seed(seed)
    n, d = X.shape
    network, head = Changed(d, linear), RefinerHead(d, HeadSize(256, 512, 128, n))
    optimizer = torch.optim.AdamW([*network.parameters(), *head.parameters()], RATE, (0.9, 0.95), weight_decay=1e-5)
    for epoch in tqdm(range(epochs), "linear" if linear else "network", leave=False):
        for batch in torch.randperm(n)[: n // BATCH * BATCH].view(-1, BATCH):
            views = [F.dropout(X[batch], DROPPED) + NOISE * torch.randn(BATCH, d) for _ in range(VIEWS)]
            loss = head(network(torch.cat(views)), batch, 1 if epoch < ALONE * epochs else NEIGHBOURS, 0.2)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        made: Tensor = network.eval()(X)
    return made


if __name__ == "__main__":
    main(sys.argv[1:])
