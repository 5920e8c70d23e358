"""What CCL4Rec's contrasts are worth: ablations and SASRec on histories of which a share is replaced at random.

Every history of the training part is damaged, the targets of validation and test are not. Validation chooses the epoch.
Cells already in the results file are not run again, and several processes may fill one file.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from benchmarks.histories_table import TOP, markdown
from benchmarks.measuring import arguments, prepare, some_of, whole_numbers, workplace
from benchmarks.problem import SEQUENCES, find_sequences
from recbole_mm.model.sequential_recommender.ccl4rec import CCL4Rec

HELD_OUT = 2  # the last interactions of a user: leave-one-out's validation and test
BASELINE = "SASRec"
ABLATIONS: dict[str, dict[str, Any]] = {
    "full": {},
    **{name: dict(changes) for name, changes in CCL4Rec.ablations.items()},
}
VARIANTS = (*ABLATIONS, BASELINE)
COMMON = {
    "valid_metric": f"NDCG@{TOP}",
    "topk": [TOP],
    "metrics": ["NDCG", "Recall"],
    "eval_batch_size": 2_000_000,  # scores; a batch of RecBole's default would hold one user
    "show_progress": False,
}
# Chosen on validation, with undamaged histories and the first seed.
_SASREC: dict[str, Any] = {"train_batch_size": 512, "learning_rate": 0.001, "stopping_step": 3}
_MICROVIDEO: dict[str, dict[str, Any]] = {
    "CCL4Rec": {"MAX_ITEM_LIST_LENGTH": 10, "epochs": 20, "stopping_step": 4},
    BASELINE: {"MAX_ITEM_LIST_LENGTH": 10, "epochs": 14, **_SASREC},
}
SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    "ml-100k": {
        "CCL4Rec": {"MAX_ITEM_LIST_LENGTH": 20, "epochs": 35, "stopping_step": 5},
        BASELINE: {"MAX_ITEM_LIST_LENGTH": 20, "epochs": 12, **_SASREC},
    },
    "microvideo": _MICROVIDEO,
    "microvideo-10k": _MICROVIDEO,
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One training: a variant, the share of every history that is replaced, a seed."""

    variant: str
    noise: float
    seed: int


def damage_histories(frame: pd.DataFrame, fields: tuple[str, str, str], share: float, seed: int) -> None:
    """Replace training interactions by items drawn uniformly, in place; the users and times stay.

    Parameters
    ----------
    frame : DataFrame
        Interactions, of which the last `HELD_OUT` of each user by time stay.
    fields : tuple of str
        Its columns of users, items and times.
    share : float
        Probability that an interaction is replaced, in [0, 1].
    seed : int
        Of the same seed, a larger share replaces what a smaller one does and more.
    """
    user, item, time = fields
    random = np.random.default_rng(seed)
    moment = frame[time].astype(np.float32)  # as RecBole sorts
    from_end = frame.loc[moment.sort_values(kind="stable").index].groupby(user).cumcount(ascending=False)
    chosen = (random.random(len(frame)) < share) & (from_end.loc[frame.index] >= HELD_OUT).to_numpy()
    drawn = random.choice(np.sort(frame[item].unique()), len(frame))
    frame[item] = np.where(chosen, drawn, frame[item])


def prepare_cell(data: str, cell: Cell, **changes: Any) -> tuple[Any, tuple[Any, Any, Any]]:
    """Return RecBole's trainer of a cell and its loaders of train, validation and test."""
    model = BASELINE if cell.variant == BASELINE else "CCL4Rec"
    own = {} if model == BASELINE else ABLATIONS[cell.variant]

    def damage(dataset: Any) -> None:
        fields = dataset.uid_field, dataset.iid_field, dataset.time_field
        damage_histories(dataset.inter_feat, fields, cell.noise, cell.seed)

    settings = {**COMMON, **SETTINGS[data][model], **own, "seed": cell.seed, **changes}
    return prepare(model, data, damage, **settings)


def user_ndcg(trainer: Any, loader: Any) -> np.ndarray:
    """Return NDCG@10 of each user (n_users,), who has one target, in the order of the loader."""
    trainer.model.eval()
    parts = []
    for batch in loader:
        _, scores, row, target = trainer._full_sort_batch_eval(batch)
        own = scores[row, target].unsqueeze(1)
        rank = (scores > own).sum(1)  # from 0
        parts.append(torch.where(rank < TOP, 1 / torch.log2(rank + 2.0), 0.0))
    return torch.cat(parts).cpu().numpy()


def run_cell(data: str, cell: Cell, **changes: Any) -> dict[str, Any]:
    """Train a cell; return its validation and test metrics, and test NDCG@10 by user."""
    with tempfile.TemporaryDirectory() as checkpoints:
        trainer, (train, valid, test) = prepare_cell(data, cell, checkpoint_dir=checkpoints, **changes)
        started = perf_counter()
        trainer.fit(train, valid, verbose=False)
        seconds = perf_counter() - started
        tested = trainer.evaluate(test, load_best_model=True)
    return {
        **{name: getattr(cell, name) for name in Cell.__slots__},
        "valid": float(trainer.best_valid_result[f"ndcg@{TOP}"]),
        "test": float(tested[f"ndcg@{TOP}"]),
        "recall": float(tested[f"recall@{TOP}"]),
        "epochs": len(trainer.train_loss_dict),
        "seconds": round(seconds, 1),
        "users": [round(float(value), 5) for value in user_ndcg(trainer, test)],
    }


def read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []


def missing(cells: Sequence[Cell], file: Path) -> Iterator[Cell]:
    """Yield the cells that the file lacks, looking again before each."""
    for cell in cells:
        if not any(all(row[name] == getattr(cell, name) for name in Cell.__slots__) for row in read(file)):
            yield cell


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments("benchmarks.histories", __doc__, threads=1)
    parser.add_argument("--data", default="ml-100k", choices=SEQUENCES)
    parser.add_argument(
        "--variants", default=",".join(VARIANTS), type=some_of("variant", VARIANTS), help="comma between"
    )
    parser.add_argument("--noise", default="0,0.1,0.2,0.3", help="shares of the training interactions, comma between")
    parser.add_argument("--seeds", default="2020,2021,2022", type=whole_numbers, help="comma between")
    parser.add_argument("--epochs", type=int, help="at most; default: as in SETTINGS")
    args = parser.parse_args(argv)
    levels = [float(share) for share in args.noise.split(",")]
    cells = [Cell(variant, noise, seed) for seed, noise, variant in product(args.seeds, levels, args.variants)]
    changes = {"epochs": args.epochs} if args.epochs else {}
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / f"histories-{args.data}.jsonl"
    with workplace(args.threads) as folder:
        where = find_sequences(args.data, folder)
        for cell in tqdm(missing(cells, file), desc=args.data, unit="cell", total=len(cells)):
            row = json.dumps(run_cell(args.data, cell, **where, **changes))
            with file.open("a", encoding="utf-8") as stream:
                stream.write(row + "\n")
    table = markdown(args.data, VARIANTS, read(file))
    file.with_suffix(".md").write_text(table, encoding="utf-8")
    sys.stdout.write(table)


if __name__ == "__main__":
    main()
