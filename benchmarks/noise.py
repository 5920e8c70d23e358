"""What knowing the planted noise of `benchmarks.beds` is worth, how much each row wins back, and where it looks.

Reads the folders of comparisons (`recbole-mm compare --out=FOLDER`) of beds; finished runs count, so that it may be
asked on the way. The room of a bed is the plain model on `BED-oracle` less the same on `BED`; what a row wins back is
its difference to the plain model in parts of the room. Tests are paired over users, each averaged over the seeds, and
corrected for the rows of a bed (Holm).
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from recbole.quick_start import load_data_and_model
from scipy.stats import rankdata
from tabulate import tabulate
from tqdm import tqdm

from benchmarks.measuring import write_results
from recbole_mm.comparison.significance import compare_paired, holm
from recbole_mm.training.result_files import USERS_FILE

PLAIN = ("CCL4Rec without trust", "plain")  # names of the row that the others are compared with
ORACLE = "-oracle"
CHECKPOINT = "CCL4Rec.pth"
Beds = dict[str, dict[str, list[Path]]]


def runs_of(folders: Sequence[Path]) -> Beds:
    """Return the folders of finished runs, by bed and row."""
    found: Beds = defaultdict(lambda: defaultdict(list))
    for folder in folders:
        for file in sorted(folder.glob(f"runs/*/*/seed-*/*/{USERS_FILE}")):
            bed, row = file.parts[-5:-3]
            found[bed][re.sub(r"-[0-9a-f]{8}$", "", row).replace("_", " ")].append(file.parent)
    return found


def by_user(runs: Sequence[Path], metric: str) -> pd.Series:
    """Return the metric of each user in test, the mean over runs."""
    each = []
    for run in runs:
        with np.load(run / USERS_FILE) as stored:
            each.append(pd.Series(stored[metric], stored["user"].astype(str)))
    return pd.concat(each, axis=1).mean(axis=1)


def over_seeds(runs: Sequence[Path], split: str, metric: str) -> np.ndarray:
    return np.array([json.loads((run / "result.json").read_text("utf-8"))[split][metric] for run in runs])


def attention_on(runs: Sequence[Path], table: pd.DataFrame) -> dict[str, float]:
    """Return where CCL4Rec's trust and attention are in the histories of the test, the mean over runs.

    Parameters
    ----------
    table : DataFrame
        Columns `user_id`, and `planted` of 0 and 1: the training part, a user's rows in the order of time.

    Returns
    -------
    dict
        Empty without runs of CCL4Rec. `attention`: on planted behaviours, in parts of what equal attention would have
        there. `trust`: how often a planted behaviour is trusted less than another one, of any history (AUC); only of a
        model with trust.
    """
    planted = table.groupby("user_id")["planted"].agg(list)
    found = defaultdict(list)
    for run in runs:
        config, model, dataset, *_, test = load_data_and_model(str(run / CHECKPOINT))
        rows, length = test._dataset.inter_feat, config["MAX_ITEM_LIST_LENGTH"]
        history = rows[model.ITEM_SEQ].to(config["device"])
        flags = np.zeros(history.shape, dtype=bool)
        for row, user in enumerate(dataset.id2token(dataset.uid_field, rows[dataset.uid_field].numpy())):
            known = planted[user][-length:]
            flags[row, : len(known)] = known
        real = (history > 0).cpu().numpy()
        model.eval()
        with torch.no_grad():
            items, logits = model.scoring_embeddings()
            attention = model.encode(history, items, logits)[1].cpu().numpy()
            found["attention"].append(attention[flags].sum() / (flags.sum(1) / real.sum(1)).sum())
            if model.has_trust:
                trust = model.trust_logits(history, items).cpu().numpy()
                found["trust"].append(auc(trust[real & ~flags], trust[flags]))
    return {name: float(np.mean(values)) for name, values in found.items()}


def auc(higher: np.ndarray, lower: np.ndarray) -> float:
    """Return how often one of `higher` is above one of `lower`; ties count half."""
    ranks = rankdata(np.r_[higher, lower])[: len(higher)]
    return float((ranks.sum() - len(higher) * (len(higher) + 1) / 2) / (len(higher) * len(lower)))


def bed_table(name: str, beds: Beds, metric: str, data: Path) -> dict[str, Any]:
    """Return the figures of a bed by row: means, deviations, what is won back, p-values, attention and trust."""
    rows = dict(beds[name])
    plain = next(runs for row, runs in rows.items() if row in PLAIN)
    rows |= {f"oracle: {row}": runs for row, runs in beds.get(name + ORACLE, {}).items() if row in PLAIN}
    base, base_mean = by_user(plain, metric), over_seeds(plain, "test", metric).mean()
    table = pd.read_csv(data / name / f"{name}.train.inter", sep="\t", dtype={"user_id:token": str})
    table = table.rename(columns=lambda column: column.split(":")[0])
    found: dict[str, Any] = {}
    for row, runs in tqdm(rows.items(), desc=name, unit="row"):
        test = over_seeds(runs, "test", metric)
        _, gain, wilcoxon, t = compare_paired(*pd.concat([by_user(runs, metric), base], axis=1).to_numpy().T)
        found[row] = {"runs": len(runs), "valid": over_seeds(runs, "valid", metric).mean(), "test": test.mean()}
        found[row] |= {"std": test.std(ddof=1) if len(test) > 1 else None, "gain": gain}
        found[row] |= {"p_wilcoxon": wilcoxon.p, "p_t": t.p, "percent": 100 * gain / base_mean}
        if table["planted"].any() and not row.startswith("oracle"):
            found[row] |= attention_on([run for run in runs if (run / CHECKPOINT).is_file()], table)
    others = [row for row, runs in rows.items() if runs is not plain]
    for key in ("p_wilcoxon", "p_t"):
        for row, p in zip(others, holm([found[row][key] for row in others]), strict=True):
            found[row][key] = p
    room = next((found[row]["gain"] for row in found if row.startswith("oracle")), None)
    for row in others:
        found[row]["won_back"] = found[row]["gain"] / room if room else None
    return found


def markdown(result: dict[str, dict[str, Any]], metric: str) -> str:
    parts = []
    for bed, rows in result.items():
        lines = [
            (
                row,
                of["runs"],
                f"{of['valid']:.4f}",
                f"{of['test']:.4f}" + (f" ± {of['std']:.4f}" if of["std"] is not None else ""),
                f"{of['percent']:+.1f} %" if "won_back" in of else "",
                f"{of['won_back']:.0%}" if of.get("won_back") and not row.startswith("oracle") else "",
                f"{of['p_wilcoxon']:.1g}, {of['p_t']:.1g}" if "won_back" in of else "",
                *(f"{of[name]:.2f}" if name in of else "" for name in ("attention", "trust")),
            )
            for row, of in rows.items()
        ]
        names = ["row", "seeds", f"valid {metric}", f"test {metric}", "beside plain", "of the room"]
        names += ["p (Wilcoxon, t)", "attention on noise", "AUC of trust"]
        parts.append(f"### {bed}\n\n{tabulate(lines, names, tablefmt='github', disable_numparse=True)}\n")
    return "\n".join(parts)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.noise", description=__doc__)
    parser.add_argument("comparisons", nargs="+", type=Path, help="folders of comparisons")
    parser.add_argument("--data", default=Path("dataset"), type=Path, help="where the folders of the beds are")
    parser.add_argument("--metric", default="ndcg@10")
    parser.add_argument("--out", default=Path("results"), type=Path, help="folder of the results")
    args = parser.parse_args(argv)
    beds = runs_of(args.comparisons)
    wanted = [bed for bed in beds if not bed.endswith(ORACLE) and set(PLAIN) & set(beds[bed])]
    result = {bed: bed_table(bed, beds, args.metric, args.data) for bed in wanted}
    write_results(args.out, "noise", result, markdown(result, args.metric))


if __name__ == "__main__":
    main()
