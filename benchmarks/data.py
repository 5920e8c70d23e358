"""RecBole's data path beside the pack's: batches and samples of a BPR epoch, and full-sort evaluation of LightGCN."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from recbole.utils import init_seed
from tabulate import tabulate

from benchmarks import problem
from benchmarks.measuring import arguments, machine, measure, prepare, summarise, told, workplace, write_results
from benchmarks.plain import recboles_data

WAYS: dict[str, Callable[[], AbstractContextManager[None]]] = {"RecBole": recboles_data, "recbole-mm": nullcontext}
ALL_COLUMNS = {"inter": ["user_id", "item_id"], "item": ["item_id", "movie_title", "release_year", "class"]}
SAME = 1e-8  # metrics


def epoch(model: str, dataset: str, **settings: Any) -> dict[str, Callable[[], object]]:
    """Return what draws all batches of an epoch, by way; both draw the same."""
    work: dict[str, Callable[[], object]] = {}
    drawn = {}
    for name, way in WAYS.items():
        with way():
            loader = prepare(model, dataset, **settings)[1][0]

        def batches(loader: Any = loader, way: Any = way) -> list[Any]:
            init_seed(loader.config["seed"], True)
            loader.generator.manual_seed(0)
            with way():
                return [batch["neg_item_id"] for batch in loader]

        work[name], drawn[name] = batches, batches()
    if not all((one == other).all() for one, other in zip(*drawn.values(), strict=True)):
        raise RuntimeError(f"{model} on {dataset}: the samples differ")
    return work


def evaluation(model: str, dataset: str, **settings: Any) -> dict[str, Callable[[], object]]:
    """Return what evaluates an untrained model on the validation part, by way; both get the same metrics."""
    work: dict[str, Callable[[], object]] = {}
    found = {}
    for name, way in WAYS.items():
        with way():
            trainer, (_, valid, _) = prepare(model, dataset, **settings)

        def evaluate(trainer: Any = trainer, valid: Any = valid, way: Any = way) -> dict[str, float]:
            with way():
                return dict(trainer.evaluate(valid, load_best_model=False))

        work[name], found[name] = evaluate, evaluate()
    ours, theirs = (found[name] for name in ("recbole-mm", "RecBole"))
    if not all(abs(ours[metric] - theirs[metric]) <= SAME for metric in theirs):
        raise RuntimeError(f"{model} on {dataset}: the metrics differ: {ours}, {theirs}")
    return work


def bench(size: str, repeats: int, threads: int) -> dict[str, Any]:
    """Return the machine, and by what is done and by way the times."""
    found = {}
    with workplace(threads) as folder:
        about = machine()
        problem.write(size, folder, held_out=0.1)
        here = {"data_path": str(folder)}
        pieces: dict[str, Callable[[], dict[str, Callable[[], object]]]] = {
            "batches of BPR, ml-100k": lambda: epoch("BPR", "ml-100k"),
            "the same, with the columns of .item": lambda: epoch("BPR", "ml-100k", load_col=ALL_COLUMNS),
            f"batches of BPR, {size}": lambda: epoch("BPR", size, **here),
            f"evaluation of LightGCN, {size}": lambda: evaluation("LightGCN", size, **here),
        }
        for name, make in pieces.items():
            found[name] = summarise(measure(make(), repeats), "RecBole")
    return {"size": size, "repeats": repeats, "machine": about, "pieces": found}


def markdown(result: dict[str, Any]) -> str:
    rows = []
    for name, ways in result["pieces"].items():
        theirs, ours = ways["RecBole"], ways["recbole-mm"]
        faster = np.quantile(np.divide(theirs["rounds"], ours["rounds"]), (0.25, 0.5, 0.75))
        seconds = (f"{way['seconds'][1]:.3f}" for way in (theirs, ours))
        rows.append((name, *seconds, "{1:.1f} ({0:.1f} to {2:.1f})".format(*faster)))
    about = f"Data path, {result['repeats']} rounds; {told(result['machine'])}."
    headers = ("", "RecBole, s", "recbole-mm, s", "times as fast")
    return f"{about}\n\n{tabulate(rows, headers, tablefmt='github', disable_numparse=True)}\n"


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments("benchmarks.data", __doc__)
    parser.add_argument("--size", default="baby", choices=problem.SIZES)
    parser.add_argument("--repeats", default=5, type=int)
    args = parser.parse_args(argv)
    result = bench(args.size, args.repeats, args.threads)
    write_results(args.out, f"data-{args.size}", result, markdown(result))


if __name__ == "__main__":
    main()
