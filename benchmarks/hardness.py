"""What each knob of CCL4Rec's hardness does to the quality of positive views, the damage of negative ones, and NDCG@10.

One knob at a time, the others at their defaults and the contrasts on; NDCG@10 on validation; a png and a json.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from tqdm import tqdm

from benchmarks.histories import COMMON
from benchmarks.measuring import arguments, prepare, some_of, whole_numbers, workplace
from benchmarks.problem import SEQUENCES, find_sequences

KNOBS: dict[str, Sequence[float]] = {
    "r_max": (0.2, 0.5, 0.8, 1.0),
    "n_views": (1, 2, 4),
    "hardness": (0.0, 0.25, 0.5, 0.75, 1.0),
    "tau": (0.05, 0.1, 0.2, 0.5, 1.0),
    "trust_beta": (0.0, 2.0, 4.0, 8.0),
    "cl_weight": (0.0, 0.03, 0.1, 0.3, 1.0),
    "hard_weight": (0.0, 0.03, 0.1, 0.3, 1.0),
    "over_weight": (0.0, 0.03, 0.1, 0.3, 1.0),
}
OTHERS = {"cl_weight": 0.1, "hard_weight": 0.1, "over_weight": 0.1}  # the contrasts on, as a knob needs them
MEASURES = {"quality": "quality of positives", "damage": "damage of negatives", "valid": "validation NDCG@10"}


def measure(data: str, seed: int, epochs: int, where: dict[str, Any], **knob: float) -> dict[str, float]:
    """Train with one knob turned; return the views' mean quality and damage, and the best validation NDCG@10."""
    settings: dict[str, Any] = {**COMMON, "seed": seed, "epochs": epochs, **where, **OTHERS, **knob}
    trainer, (train, valid, _) = prepare("CCL4Rec", data, **settings)
    model = trainer.model
    best, _ = trainer.fit(train, valid, verbose=False, saved=False)
    history = valid._dataset.inter_feat[model.ITEM_SEQ].to(trainer.device)
    with torch.no_grad():
        good, bad = model.contrast.views(model.view_source(history, *model.scoring_embeddings())[0])
    return {"quality": 1 - good.damage.mean().item(), "damage": bad.damage.mean().item(), "valid": float(best)}


def plot(found: dict[str, dict[str, list[dict[str, float]]]], data: str, file: Path) -> None:
    """Draw a panel a knob: left axis quality and damage, right axis validation; means and deviations over seeds."""
    rows = -(-len(found) // 3)
    figure, panels = plt.subplots(rows, 3, figsize=(13, 3 * rows), layout="constrained", squeeze=False)
    for panel in panels.flat[len(found) :]:
        panel.set_axis_off()
    for (knob, by_value), panel in zip(found.items(), panels.flat, strict=False):
        values = [float(value) for value in by_value]
        right = panel.twinx()
        for (key, label), axis, colour in zip(
            MEASURES.items(), (panel, panel, right), ("C0", "C3", "0.4"), strict=True
        ):
            runs = np.array([[run[key] for run in runs] for runs in by_value.values()])  # (values, seeds)
            style = "--" if axis is right else "-"
            axis.errorbar(
                range(len(values)), runs.mean(1), runs.std(1), color=colour, ls=style, marker="o", label=label
            )
        panel.set(title=knob, ylim=(0, 1), xticks=range(len(values)), xticklabels=[f"{value:g}" for value in values])
        if panel is panels.flat[0]:
            panel.legend(loc="lower left", fontsize=8)
            right.legend(loc="lower right", fontsize=8)
    figure.suptitle(f"CCL4Rec on {data}: solid, left axis: views; dashed, right axis: validation")
    figure.savefig(file, dpi=75)
    plt.close(figure)


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments("benchmarks.hardness", __doc__, threads=1)
    parser.add_argument("--data", default="microvideo", choices=SEQUENCES)
    parser.add_argument("--knobs", default=",".join(KNOBS), type=some_of("knob", KNOBS), help="comma between")
    parser.add_argument("--seeds", default="2020,2021,2022", type=whole_numbers, help="comma between")
    parser.add_argument("--epochs", default=30, type=int, help="at most; early stopping as RecBole has it")
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict[str, list[dict[str, float]]]] = {knob: {} for knob in args.knobs}
    with workplace(args.threads) as folder:
        where = find_sequences(args.data, folder)
        for knob, value in tqdm([(name, value) for name in args.knobs for value in KNOBS[name]], unit="value"):
            runs = [measure(args.data, seed, args.epochs, where, **{knob: value}) for seed in args.seeds]
            found[knob][f"{value:g}"] = runs
    (args.out / f"hardness-{args.data}.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    plot(found, args.data, args.out / f"hardness-{args.data}.png")
    sys.stdout.write(f"{args.out / f'hardness-{args.data}.png'}\n")


if __name__ == "__main__":
    main()
