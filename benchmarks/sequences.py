"""Cost of CCL4Rec beside RecBole's SASRec and GRU4Rec: parameters, seconds an epoch, users scored a second.

Each on whole histories and SASRec and GRU4Rec on prefixes, too; SASRec once more as RecBole computes it. Models take a
training step of as many predictions and score histories in turns, in one run, each with its own defaults. An epoch is
the time of a step times the number of batches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate

from benchmarks.measuring import (
    BATCH_SIZE,
    Entrant,
    arguments,
    build,
    machine,
    measure,
    summarise,
    told,
    workplace,
    write_results,
)
from benchmarks.plain import recboles_step

BASELINE = "SASRec, prefixes"
WHOLE = {"train_histories": "whole"}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "CCL4Rec, whole": ("CCL4Rec", WHOLE),
    "CCL4Rec on ids only, whole": ("CCL4Rec", {"use_modalities": False, "trust_modalities": False, **WHOLE}),
    "GRU4Rec, whole": ("GRU4Rec", WHOLE),
    "GRU4Rec, prefixes": ("GRU4Rec", {}),
    "SASRec, whole": ("SASRec", WHOLE),
    BASELINE: ("SASRec", {}),
    "SASRec, prefixes, RecBole's own step": ("SASRec", {"way": recboles_step}),
}
ITEM_TABLES = "item_embedding.weight"


def parameters_beyond_items(model: Any) -> int:
    """Return how many parameters a model has besides the embeddings of the items."""
    return sum(weight.numel() for name, weight in model.named_parameters() if name != ITEM_TABLES)


def scoring(entrant: Entrant, histories: Any) -> Callable[[], object]:
    """Return the work of scoring every item for each of the histories."""

    def score() -> None:
        model = entrant.trainer.model
        if model.training:
            model.eval()
        with torch.no_grad(), entrant.way():
            model.full_sort_predict(histories)

    return score


def bench(data: str, repeats: int, history: int, threads: int, **where: Any) -> dict[str, Any]:
    """Return the machine, and by model the parameters and the times of a training step and of scoring a batch."""
    with workplace(threads):
        found = machine()
        where |= {"MAX_ITEM_LIST_LENGTH": history}
        entrants = {name: build(model, data, **settings, **where) for name, (model, settings) in MODELS.items()}
        histories = entrants[BASELINE].batch
        steps = summarise(measure({name: entrant.step for name, entrant in entrants.items()}, repeats), BASELINE)
        scored = summarise(
            measure({name: scoring(entrant, histories) for name, entrant in entrants.items()}, repeats), BASELINE
        )
    models = {
        name: {
            "parameters": parameters_beyond_items(entrant.trainer.model),
            "batches": entrant.n_batches,
            "step": steps[name],
            "scoring": scored[name],
        }
        for name, entrant in entrants.items()
    }
    about = {"data": data, "history": history, "batch_size": BATCH_SIZE, "repeats": repeats, "machine": found}
    return {**about, "models": models}


def markdown(result: dict[str, Any]) -> str:
    rows, users = [], result["batch_size"]
    base = result["models"][BASELINE]
    for name, found in result["models"].items():
        epoch = found["step"]["seconds"][1] * found["batches"]
        speed = users / found["scoring"]["seconds"][1]
        epochs = [base["batches"] / found["batches"] / ratio for ratio in found["step"]["ratio"][::-1]]
        scored = [1 / ratio for ratio in found["scoring"]["ratio"][::-1]]
        ratios = ["{1:.1f} ({0:.1f} to {2:.1f})".format(*times) for times in (epochs, scored)]
        parameters = f"{found['parameters']:,}", f"{found['parameters'] / base['parameters']:.1%}"
        rows.append((name, *parameters, f"{epoch:.1f}", ratios[0], f"{speed:,.0f}", ratios[1]))
    headers = (
        "model",
        "parameters beyond the item table",
        "of SASRec's",
        "seconds an epoch",
        "epochs in one of SASRec's on prefixes",
        "users scored a second",
        "times SASRec's",
    )
    about = (
        f"{result['data']}, histories of at most {result['history']}, batches of {users} predictions, median "
        f"(quartiles) of {result['repeats']} rounds; {told(result['machine'])}."
    )
    return f"{about}\n\n{tabulate(rows, headers, tablefmt='github', disable_numparse=True)}\n"


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments("benchmarks.sequences", __doc__)
    parser.add_argument("--data", default="ml-100k", help="dataset")
    parser.add_argument("--data_path", type=lambda text: str(Path(text).resolve()), help="its folder's folder")
    parser.add_argument("--repeats", default=10, type=int, help="rounds, after two that do not count")
    parser.add_argument("--history", default=50, type=int, help="longest history, in interactions")
    args = parser.parse_args(argv)
    if min(args.repeats, args.history, args.threads) < 1:
        parser.error("--repeats, --history and --threads must be at least 1")
    where = {"data_path": args.data_path} if args.data_path else {}
    result = bench(args.data, args.repeats, args.history, args.threads, **where)
    write_results(args.out, f"sequences-{args.data}", result, markdown(result))


if __name__ == "__main__":
    main()
