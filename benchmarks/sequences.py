"""Cost of CCL4Rec beside RecBole's SASRec and GRU4Rec: parameters, seconds an epoch, users scored a second.

All models train on the same batch and score the same histories, in turns, in one run, each with its own defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from tabulate import tabulate

from benchmarks.measuring import (
    BATCH_SIZE,
    Entrant,
    arguments,
    build,
    check_same_batch,
    machine,
    measure,
    summarise,
    told,
    workplace,
    write_results,
)
from benchmarks.problem import SEQUENCES, find_sequences

BASELINE = "SASRec"
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "CCL4Rec": ("CCL4Rec", {}),
    "CCL4Rec, ids only": ("CCL4Rec", {"use_modalities": False, "trust_modalities": False}),
    "GRU4Rec": ("GRU4Rec", {}),
    BASELINE: (BASELINE, {}),
}
ITEM_TABLES = "item_embedding.weight"


def parameters_beyond_items(model: Any) -> int:
    """Return how many parameters a model has besides the embeddings of the items."""
    return sum(weight.numel() for name, weight in model.named_parameters() if name != ITEM_TABLES)


def scoring(entrant: Entrant) -> Callable[[], object]:
    """Return the work of scoring every item for each history of the batch."""

    def score() -> None:
        model = entrant.trainer.model
        if model.training:
            model.eval()
        with torch.no_grad():
            model.full_sort_predict(entrant.batch)

    return score


def bench(data: str, repeats: int, history: int, threads: int) -> dict[str, Any]:
    """Return the machine, and by model the parameters and the times of a training step and of scoring a batch."""
    with workplace(threads) as folder:
        found = machine()
        where: dict[str, Any] = {"MAX_ITEM_LIST_LENGTH": history, **find_sequences(data, folder)}
        entrants = {name: build(model, data, **settings, **where) for name, (model, settings) in MODELS.items()}
        check_same_batch(list(entrants.values()))
        steps = summarise(measure({name: entrant.step for name, entrant in entrants.items()}, repeats), BASELINE)
        scored = summarise(measure({name: scoring(entrant) for name, entrant in entrants.items()}, repeats), BASELINE)
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
    base = result["models"][BASELINE]["parameters"]
    for name, found in result["models"].items():
        epoch = found["step"]["seconds"][1] * found["batches"]
        speed = users / found["scoring"]["seconds"][1]
        slower, faster = found["step"]["ratio"], [1 / ratio for ratio in found["scoring"]["ratio"][::-1]]
        ratios = ("{1:.3f} ({0:.3f} to {2:.3f})".format(*slower), "{1:.1f} ({0:.1f} to {2:.1f})".format(*faster))
        parameters = f"{found['parameters']:,}", f"{found['parameters'] / base:.1%}"
        rows.append((name, *parameters, f"{epoch:.1f}", ratios[0], f"{speed:,.0f}", ratios[1]))
    headers = (
        "model",
        "parameters beyond the item table",
        f"of {BASELINE}'s",
        "seconds an epoch",
        f"ratio to {BASELINE}",
        "users scored a second",
        f"times {BASELINE}",
    )
    about = (
        f"{result['data']}, histories of at most {result['history']}, batch {users}, median (quartiles) of "
        f"{result['repeats']} rounds; {told(result['machine'])}."
    )
    return f"{about}\n\n{tabulate(rows, headers, tablefmt='github', disable_numparse=True)}\n"


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments("benchmarks.sequences", __doc__)
    parser.add_argument("--data", default="ml-100k", choices=SEQUENCES)
    parser.add_argument("--repeats", default=10, type=int, help="rounds, after two that do not count")
    parser.add_argument("--history", default=50, type=int, help="longest history, in interactions")
    args = parser.parse_args(argv)
    if min(args.repeats, args.history, args.threads) < 1:
        parser.error("--repeats, --history and --threads must be at least 1")
    result = bench(args.data, args.repeats, args.history, args.threads)
    write_results(args.out, f"sequences-{args.data}", result, markdown(result))


if __name__ == "__main__":
    main()
