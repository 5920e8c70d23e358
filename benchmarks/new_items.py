"""Items that a model was trained without, scored by their features, for the users who had them.

A share of the items is taken out of a dataset, with all interactions. A model is trained on the rest, by the dataset's
own split; `recommend --new-items` ranks the new items alone for every user who had one: recall and NDCG, means over
users. Beside it stand chance, which popularity is too, as nobody has had a new item, and the cosines of content with
the user's items.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
import yaml

import recbole_mm
from benchmarks.content_knn import neighbour_weights
from benchmarks.measuring import mean_and_deviation, whole_numbers
from recbole_mm.base.files import replace_text
from recbole_mm.configuration.request import Request
from recbole_mm.data.feature_table import FeatureTable
from recbole_mm.data.features import read_features
from recbole_mm.data.folder import DatasetFolder
from recbole_mm.serving.open_source import open_source
from recbole_mm.serving.trained_model import TrainedModel, trained_model

Found = dict[str, list[tuple[float, float]]]  # by name, recall and NDCG of each seed
CONTENT_K = 20


def main(argv: Sequence[str] | None = None) -> None:
    known = _arguments().parse_args(argv)
    out, found = Path(known.out), Found()
    for seed in known.seeds:
        data = out / f"data-{seed}"
        later = without_new(Path(known.data_path) / known.dataset, data, known.share, seed)
        for row in known.models:
            name, _, file = row.partition("=")
            given = yaml.safe_load(Path(file).read_text(encoding="utf-8")) | {"seed": seed}
            folder = trained(out / f"{name.replace(' ', '_')}-{seed}", str(data) + "/", known, given)
            source = trained_model(folder, "cpu")
            files = {modality: data / f"new-{modality}.npy" for modality in source.dataset.modality_names}
            wide: Any = open_source(folder, "cpu", files, data / "new.ids")
            scores = {name: wide.scores(np.arange(len(wide.user_ids)))[:, len(source.item_ids) :].numpy()}
            if row == known.models[0]:
                scores["content"] = content(source, files)
                scores["chance"] = np.random.default_rng(seed).random(scores[name].shape)
            for way, values in scores.items():
                of_new = wide.item_ids[len(source.item_ids) :]
                found.setdefault(way, []).append(ranked(values, wide.user_ids, of_new, later, known.k))
            sys.stdout.write(table(found, known.k) + "\n")
            sys.stdout.flush()
    replace_text(out / "new_items.md", table(found, known.k))


def without_new(source: Path, data: Path, share: float, seed: int) -> pd.DataFrame:
    """Write a dataset without a share of its items and the features of these, and return who had them (user, item)."""
    name, out = source.name, data / source.name
    rows = {file: pd.read_csv(file, sep="\t", dtype=str) for file in sorted(source.glob(f"{name}*.inter"))}
    items = pd.read_csv(source / f"{name}.item", sep="\t", dtype=str)
    user, item = "user_id:token", "item_id:token"
    everything = pd.concat(rows.values())
    ids = np.sort(everything[item].unique())
    new = np.sort(np.random.default_rng(seed).permutation(ids)[: round(share * len(ids))])
    if not (data / "new.ids").exists():
        shutil.rmtree(data, ignore_errors=True)
        out.mkdir(parents=True)
        for file, table in rows.items():
            table[~table[item].isin(new)].to_csv(out / file.name, sep="\t", index=False)
        kept = items[~items[item].isin(new)]
        kept.to_csv(out / f"{name}.item", sep="\t", index=False)
        settings = yaml.safe_load((source / f"{name}.yaml").read_text(encoding="utf-8"))
        for modality, spec in settings["modalities"].items():
            features = rows_by_id(read_features(modality, spec, DatasetFolder(source, name)))
            width = len(next(iter(features.values())))
            for file, wanted in ((out / f"{modality}.npy", kept[item]), (data / f"new-{modality}.npy", new)):
                np.save(file, np.stack([features.get(one, np.zeros(width, np.float32)) for one in wanted]))
            settings["modalities"][modality] = {"file": f"{modality}.npy"}
        (out / f"{name}.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        (data / "new.ids").write_text("\n".join(new) + "\n", encoding="utf-8")
    held = everything[everything[item].isin(new)]
    return pd.DataFrame({"user": held[user], "item": held[item]})


def rows_by_id(table: FeatureTable) -> dict[str, np.ndarray]:
    """Return the features of each item that has any."""
    return {
        str(table.ids[number]): row
        for numbers, values in table.blocks()
        for number, row in zip(numbers, values, strict=True)
    }


def trained(out: Path, data_path: str, known: argparse.Namespace, settings: Mapping[str, Any]) -> Path:
    """Train a model where it is not trained yet, and return the folder of the run."""
    done = [file.parent for file in out.glob("*/result.json") if json.loads(file.read_text())["status"] == "finished"]
    if done:
        return done[0]
    shutil.rmtree(out, ignore_errors=True)
    fixed = {"data_path": data_path, "checkpoint_dir": str(out), "epochs": known.epochs, "threads": known.threads,
             "stopping_step": known.patience, "topk": [known.k], "valid_metric": f"Recall@{known.k}"}  # fmt: skip
    given = dict(settings)
    return Path(recbole_mm.run(Request(given.pop("model"), known.dataset, settings=fixed | given))["folder"])


def content(source: TrainedModel, files: Mapping[str, Path]) -> np.ndarray:
    """Return scores of new items by the cosines of their features with those of the user's items, (n_users, n_new)."""
    n, total = len(source.item_ids), 0
    user, item = source.seen.pairs(np.arange(len(source.user_ids)))
    consumed = sp.csr_array((np.ones(len(user)), (user, item)), (len(source.user_ids), n))
    for name, file in files.items():
        new = np.load(file)
        real = np.concatenate([source.dataset.modality_mask(name)[1:].numpy(), new.any(axis=1)])
        unit = new / np.linalg.norm(new, axis=1, keepdims=True).clip(1e-12)
        X = torch.cat([source.dataset.modality(name)[1:], torch.from_numpy(unit)])
        similar = neighbour_weights(X, real, np.arange(len(X)) < n, CONTENT_K)[n:, :n]
        total = total + (consumed @ similar.T).toarray()
    return np.asarray(total)


def ranked(
    scores: np.ndarray, users: np.ndarray, items: np.ndarray, later: pd.DataFrame, k: int
) -> tuple[float, float]:
    """Return recall and NDCG of lists of k new items, means over the users who had one; `scores` (n_users, n_new)."""
    user, item = ({one: row for row, one in enumerate(ids)} for ids in (users, items))
    taken = np.zeros(scores.shape, dtype=bool)
    rows = later[later["user"].isin(user) & later["item"].isin(item)]
    taken[rows["user"].map(user), rows["item"].map(item)] = True
    asked = taken.any(axis=1)
    hits = np.take_along_axis(taken[asked], np.argsort(-scores[asked], axis=1, kind="stable")[:, :k], axis=1)
    count = taken[asked].sum(axis=1)
    gain = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate([[0], gain.cumsum()])[count.clip(max=k)]
    return float((hits.sum(axis=1) / count).mean()), float((hits @ gain[: hits.shape[1]] / ideal).mean())


def table(found: Found, k: int) -> str:
    """Return a Markdown table of means and standard deviations over seeds."""
    lines = [f"| scored by | seeds | Recall@{k} | NDCG@{k} |", "|---|--:|--:|--:|"]
    for name, pairs in found.items():
        cells = [mean_and_deviation(column, 4) for column in np.array(pairs).T]
        lines.append(f"| {name} | {len(pairs)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data_path", required=True, help="the folder of the dataset's folder")
    parser.add_argument("--dataset", required=True)
    parser.add_argument(
        "--models", nargs="+", required=True, metavar="NAME=FILE.yaml", help="a name and a yaml with `model:`"
    )
    parser.add_argument("--out", required=True)
    parser.add_argument("--seeds", type=whole_numbers, default=[2020, 2021, 2022])
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--k", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--patience", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    return parser


if __name__ == "__main__":
    main()
