"""RecBole's SASRec on whole histories beside RecTools' SASRec at equal sizes: seconds an epoch, and validation NDCG@10.

The two train in turns, epoch by epoch, RecTools in an environment of its own (`pip install "rectools[torch]"`, whose
python is given). Leave-one-out by time; the best epoch in validation, among all items, none left out. RecTools trains
on the last interactions of a user alone, RecBole on all of them in pieces of that length.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from tabulate import tabulate
from tqdm import tqdm

from benchmarks.measuring import arguments, machine, prepare, seconds, told, workplace, write_results
from benchmarks.peers.process import Side

SIZES = {"layers": 2, "heads": 2, "width": 64, "dropout": 0.2, "batch": 128, "learning_rate": 0.001, "top": 10}


def ours(name: str, history: int, seed: int, data_path: str | None) -> tuple[Any, Any, Any]:
    """Return RecBole's trainer of SASRec, and the loaders of training, of whole histories, and of validation."""
    where: dict[str, Any] = {"data_path": data_path} if data_path else {}
    trainer, (train, valid, _) = prepare(
        "SASRec",
        name,
        **where,
        train_histories="whole",
        train_neg_sample_args=None,
        MAX_ITEM_LIST_LENGTH=history,
        hidden_size=SIZES["width"],
        inner_size=SIZES["width"],
        n_layers=SIZES["layers"],
        n_heads=SIZES["heads"],
        hidden_dropout_prob=SIZES["dropout"],
        attn_dropout_prob=SIZES["dropout"],
        learning_rate=SIZES["learning_rate"],
        seed=seed,
        eval_args={"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full"},
        metrics=["NDCG"],
        topk=[SIZES["top"]],
        valid_metric=f"NDCG@{SIZES['top']}",
        show_progress=False,
    )
    train.step = int(SIZES["batch"])  # histories, not predictions
    train.set_batch_size(train.step)
    return trainer, train, valid


def sum_of_targets(data: Any) -> int:
    """Return a sum of the users and items of RecBole's validation."""
    pairs = [data.id2token(field, data.inter_feat[field].numpy()) for field in (data.uid_field, data.iid_field)]
    return crc32("\n".join(sorted(map(" ".join, zip(*pairs, strict=True)))).encode())


def bench(args: Namespace) -> dict[str, Any]:
    """Return the seconds and the validation of every epoch of both."""
    side = Path(__file__).with_name("rectools_side.py")
    with workplace(args.threads):
        found = machine()
        trainer, train, valid = ours(args.data, args.history, args.seed, args.data_path)
        file = Path(trainer.config["data_path"]) / f"{args.data}.inter"
        data = valid._dataset
        fields = [data.uid_field, data.iid_field, data.time_field]
        sizes = json.dumps(
            {**SIZES, "fields": fields, **{name: getattr(args, name) for name in ("history", "seed", "threads")}}
        )
        n = sum(weight.numel() for weight in trainer.model.parameters())
        constant, targets = {"parameters": n, "predictions": len(train._dataset)}, sum_of_targets(data)
        curves: dict[str, list[dict[str, float]]] = {"RecBole, whole histories": [], "RecTools": []}
        with Side("RecTools", [args.python, "-I", str(side), str(file), sizes]) as rectools:
            for epoch in tqdm(range(args.epochs), unit="epoch"):
                took = seconds(partial(trainer._train_epoch, train, epoch))
                ndcg = float(trainer._valid_epoch(valid)[0])
                curves["RecBole, whole histories"].append({"seconds": took, "ndcg": ndcg, **constant})
                curves["RecTools"].append(rectools.ask("", f"epoch {epoch}"))
                if curves["RecTools"][-1]["targets"] != targets:
                    raise RuntimeError("RecTools' items of validation are not those of RecBole")
    about = {name: getattr(args, name) for name in ("data", "history", "seed", "epochs")}
    return {**about, "machine": found, "curves": curves}


def markdown(result: dict[str, Any]) -> str:
    base = np.array([epoch["seconds"] for epoch in result["curves"]["RecTools"]])
    rows = []
    for name, curve in result["curves"].items():
        took, ndcg = (np.array([epoch[key] for epoch in curve]) for key in ("seconds", "ndcg"))
        best = int(ndcg.argmax())
        ratio = np.quantile(base / took, (0.25, 0.5, 0.75))
        sizes = [f"{curve[0][key]:,}" for key in ("parameters", "predictions")]
        times = [f"{np.median(took):.2f}", "{1:.2f} ({0:.2f} to {2:.2f})".format(*ratio)]
        rows.append((name, *sizes, *times, f"{ndcg[best]:.4f}", best + 1, f"{took[: best + 1].sum():.0f}"))
    names = ["SASRec of", "parameters", "predictions an epoch", "seconds an epoch", "epochs in one of RecTools'"]
    names += ["best valid NDCG@10", "at epoch", "seconds until then"]
    about = (
        f"{result['data']}, histories of {result['history']}, {result['epochs']} epochs in turns, seed "
        f"{result['seed']}; medians (quartiles); {told(result['machine'])}."
    )
    return f"{about}\n\n{tabulate(rows, names, tablefmt='github', disable_numparse=True)}\n"


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments("benchmarks.beside_rectools", __doc__, threads=1)
    parser.add_argument("--python", required=True, help="python of an environment that has RecTools")
    parser.add_argument("--data", default="ml-100k", help="dataset")
    parser.add_argument("--data_path", type=lambda text: str(Path(text).resolve()), help="its folder's folder")
    parser.add_argument("--epochs", default=40, type=int)
    parser.add_argument("--history", default=50, type=int, help="longest history, in interactions")
    parser.add_argument("--seed", default=2020, type=int)
    args = parser.parse_args(argv)
    result = bench(args)
    write_results(args.out, f"rectools-{args.data}", result, markdown(result))


if __name__ == "__main__":
    main()
