"""Propagation, forward and backward, beside RecBole's LightGCN layers on the same graph: time and memory.

RecBole's layers are its `LightGCN.forward` as it is, on torch's product of a COO matrix; ours is
`SparseGraph.propagate`, and the third entrant is RecBole's model with the pack's product in place of torch's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tabulate import tabulate

from benchmarks import problem
from benchmarks.measuring import (
    MIB,
    arguments,
    machine,
    measure,
    peak_bytes,
    prepare,
    summarise,
    told,
    whole_numbers,
    workplace,
    write_results,
)
from benchmarks.plain import recboles_own
from recbole_mm.graphs.building import bipartite_adjacency, interaction_matrix
from recbole_mm.graphs.products import MET_OFTEN, SparseGraph

BASELINE = "RecBole's LightGCN layers"


def entrants(folder: Path, size: str, n_layers: int) -> dict[str, Callable[[], object]]:
    """Return what runs each of the three once, forward and backward, to the same sum of squares."""
    trainer, (train, *_) = prepare("LightGCN", size, data_path=str(folder), n_layers=n_layers)
    model = trainer.model
    adjacency = bipartite_adjacency(interaction_matrix(train._dataset))
    graph = SparseGraph(adjacency, symmetric=True).to(trainer.device)
    real = torch.cat([model.user_embedding.weight[1:], model.item_embedding.weight[1:]])
    table = real.detach().clone().requires_grad_()
    mean = [1 / (n_layers + 1)] * (n_layers + 1)

    def layers() -> torch.Tensor:
        model.zero_grad()
        users, items = model.forward()
        loss: torch.Tensor = users[1:].square().sum() + items[1:].square().sum()
        loss.backward()
        return loss.detach()

    def plain() -> torch.Tensor:
        with recboles_own():
            return layers()

    def ours() -> torch.Tensor:
        table.grad = None
        loss = graph.propagate(table, mean)[0].square().sum()
        loss.backward()
        return loss.detach()

    for _ in range(MET_OFTEN):  # after that the pack's product stands in
        layers()
    torch.testing.assert_close(ours(), plain(), rtol=1e-4, atol=0)
    return {BASELINE: plain, "the same, pack's product": layers, "SparseGraph.propagate": ours}


def bench(size: str, n_layers: Sequence[int], repeats: int, threads: int) -> dict[str, Any]:
    """Return the machine, and by number of layers and entrant the times and the peak of memory."""
    found: dict[str, Any] = {}
    with workplace(threads) as folder:
        about = machine()
        problem.write(size, folder)
        for n in n_layers:
            work = entrants(folder, size, n)
            peaks = {name: peak_bytes(run) / MIB for name, run in work.items()}
            times = summarise(measure(work, repeats), BASELINE)
            found[str(n)] = {name: times[name] | {"peak_mib": peaks[name]} for name in work}
    return {"size": size, "repeats": repeats, "machine": about, "layers": found}


def markdown(result: dict[str, Any]) -> str:
    rows = []
    for n, models in result["layers"].items():
        base = models[BASELINE]
        for name, found in models.items():
            faster = np.quantile(np.divide(base["rounds"], found["rounds"]), (0.25, 0.5, 0.75))
            rows.append(
                (
                    n, name, f"{1000 * found['seconds'][1]:.1f}", "{1:.1f} ({0:.1f} to {2:.1f})".format(*faster),
                    f"{found['peak_mib']:.1f}", f"{found['peak_mib'] / base['peak_mib']:.2f}",
                )
            )  # fmt: skip
    about = f"Propagation, {result['size']}, {result['repeats']} rounds; {told(result['machine'])}."
    headers = ("layers", "", "ms", "times as fast", "peak MiB", "of RecBole's")
    return f"{about}\n\n{tabulate(rows, headers, tablefmt='github', disable_numparse=True)}\n"


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments("benchmarks.propagation", __doc__)
    parser.add_argument("--size", default="baby", choices=problem.SIZES)
    parser.add_argument("--layers", default="2,7", type=whole_numbers, help="comma between")
    parser.add_argument("--repeats", default=20, type=int)
    args = parser.parse_args(argv)
    result = bench(args.size, args.layers, args.repeats, args.threads)
    write_results(args.out, f"propagation-{args.size}", result, markdown(result))


if __name__ == "__main__":
    main()
