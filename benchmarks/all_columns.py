"""A small dataset with every column and file that a model of RecBole asks for: the committed one, and more drawn."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from benchmarks.problem import COMMITTED

NAME = "all-columns"
DIM = 64  # of the vectors of entities and relations: the embedding_size of GRU4RecKG and KSR
TOPICS, KINDS, YEARS, JOBS = 12, 6, 20, 8

COLUMNS = {
    "inter": ["user_id", "item_id", "rating", "timestamp"],
    "user": ["user_id", "age", "gender", "occupation"],
    "item": ["item_id", "release_year", "class"],
    "kg": ["head_id", "relation_id", "tail_id"],
    "link": ["item_id", "entity_id"],
}
PRETRAINED = {  # what GRU4RecKG and KSR need beyond
    "load_col": {**COLUMNS, "ent": ["ent_id", "ent_emb"], "rel": ["rel_id", "rel_emb"]},
    "additional_feat_suffix": ["ent", "rel"],
    "alias_of_entity_id": ["ent_id"],
    "alias_of_relation_id": ["rel_id"],
    "preload_weight": {"ent_id": "ent_emb", "rel_id": "rel_emb"},
    "eval_args": {
        "split": {"LS": "valid_and_test"},
        "order": "TO",
        "mode": "full",
    },  # RecBole's default for both is refused
}


def write(out: Path) -> Path:
    """Write the dataset into a folder `all-columns` in `out` and return that; each call writes the same."""
    rng, folder, source = np.random.default_rng(0), out / NAME, COMMITTED / "microvideo"
    shutil.copytree(source, folder)
    settings = yaml.safe_load((folder / "microvideo.yaml").read_text(encoding="utf-8"))
    settings["load_col"] = COLUMNS
    (folder / f"{NAME}.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")

    inter = pd.read_csv(source / "microvideo.inter", sep="\t")
    inter.insert(2, "rating:float", rng.integers(1, 6, len(inter)))
    inter.to_csv(folder / f"{NAME}.inter", sep="\t", index=False)
    users = sorted(inter["user_id:token"].unique())
    items = sorted(pd.read_csv(source / "microvideo.item", sep="\t")["item_id:token"])

    ages, jobs = rng.integers(15, 70, len(users)), rng.integers(JOBS, size=len(users))
    genders = rng.choice(["F", "M"], len(users))
    _write(
        folder, "user", ["user_id:token", "age:token", "gender:token", "occupation:token"], users, ages, genders, jobs
    )
    years = 2000 + rng.integers(YEARS, size=len(items))
    classes = [" ".join(f"c{c}" for c in np.flatnonzero(row)) for row in rng.random((len(items), KINDS)) < 0.4]
    _write(folder, "item", ["item_id:token", "release_year:token", "class:token_seq"], items, years, classes)

    entities, topics = [f"e{item}" for item in items], [f"t{topic}" for topic in range(TOPICS)]
    heads = np.concatenate([np.repeat(entities, 2), topics])
    tails = rng.choice(topics, len(heads))
    relations = rng.choice(["about", "like"], len(heads))
    _write(folder, "link", ["item_id:token", "entity_id:token"], items, entities)
    _write(folder, "kg", ["head_id:token", "relation_id:token", "tail_id:token"], heads, relations, tails)
    _write(
        folder, "ent", ["ent_id:token", "ent_emb:float_seq"], entities + topics, _vectors(len(entities) + TOPICS, rng)
    )
    _write(folder, "rel", ["rel_id:token", "rel_emb:float_seq"], ["about", "like"], _vectors(2, rng))
    return folder


def _vectors(n: int, rng: np.random.Generator) -> list[str]:
    return [" ".join(f"{value:.3f}" for value in row) for row in rng.standard_normal((n, DIM))]


def _write(folder: Path, suffix: str, header: Sequence[str], *columns: Iterable[object]) -> None:
    lines = ["\t".join(header), *("\t".join(map(str, row)) for row in zip(*columns, strict=True))]
    (folder / f"{NAME}.{suffix}").write_text("\n".join(lines) + "\n", encoding="utf-8")
