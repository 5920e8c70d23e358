"""Beds of planted noise: generated histories of which a share is replaced, and the same without the noise.

10,000 users, 1,000 items, 20 to 30 interactions each, split: the last interaction of every second user is the
validation, that of the others the test, so that both ask the same after the same kind of history. These are never
touched. Three kinds of noise: `burst`, consecutive interactions become another user's; `popular`, they become items
drawn by the inverse of their rank in popularity; `uniform`, items drawn alike. `NAME-oracle` is the bed without what
was planted: what a model gains there is the room that knowing the noise has.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from benchmarks.measuring import some_of

KINDS = ("burst", "popular", "uniform")
USERS, ITEMS, SHORTEST, LONGEST = 10_000, 1_000, 20, 30
TOPICS, INTERESTS, EVENNESS = 25, 3, 1.0
POPULARITY = 0.5  # exponent of the power law of the items of a topic
WIDTH, NOISE = 32, 1.5  # of the features, and noise per unit of a topic's centre
HELD_OUT = 1  # the last interaction of a user: of the validation or of the test
PARTS = ("train", "valid", "test")
SEED = 2024
SETTINGS = """\
benchmark_filename: [train, valid, test]
load_col:
  inter: [user_id, item_id, timestamp]
  item: [item_id]
modalities:
  image: {file: image.npy}
normalize: l2
"""
FIELDS = "user_id:token\titem_id:token\ttimestamp:float\tplanted:float\n"


def clean(users: int = USERS) -> pd.DataFrame:
    """Return interactions without noise: columns user, item and time, each user's in the order of time.

    An item has one of `TOPICS` topics, and a user is interested in `INTERESTS` of them. Each interaction draws one of
    the user's topics, then an item of it, by its popularity, that the user has not had.
    """
    random = np.random.default_rng(SEED)
    by_topic = np.arange(ITEMS).reshape(TOPICS, -1)
    likes = np.arange(1, by_topic.shape[1] + 1) ** -POPULARITY
    rows = []
    for user, length in enumerate(random.integers(SHORTEST, LONGEST + 1, users)):
        topics = random.choice(TOPICS, INTERESTS, replace=False)
        chosen = random.choice(topics, length, p=random.dirichlet(np.full(INTERESTS, EVENNESS)))
        items = np.empty(length, dtype=np.int64)
        for topic in np.unique(chosen):
            places = np.flatnonzero(chosen == topic)
            odds = -np.log(random.random(len(likes))) / likes  # the smallest ones are a draw without replacement
            items[places] = by_topic[topic][random.permutation(np.argpartition(odds, len(places) - 1)[: len(places)])]
        rows.append(np.stack([np.full(length, user), items, np.arange(length)], axis=1))
    return pd.DataFrame(np.concatenate(rows), columns=["user", "item", "time"])


def features() -> np.ndarray:
    """Return a modality of the items, (ITEMS, WIDTH): the centre of the topic and noise."""
    random = np.random.default_rng(SEED)
    centres = random.standard_normal((TOPICS, WIDTH))
    noise = random.standard_normal((ITEMS, WIDTH))
    return (np.repeat(centres, ITEMS // TOPICS, axis=0) + NOISE * noise).astype(np.float32)


def plant(table: pd.DataFrame, kind: str, share: float, seed: int = SEED) -> pd.DataFrame:
    """Return the interactions with a share of every history replaced, and a column `planted` of 0 and 1.

    Parameters
    ----------
    table : DataFrame
        Columns user, item, time, in this order of rows.
    kind : str
        Of `KINDS`.
    share : float
        Of a user's interactions but the last `HELD_OUT`, rounded.
    """
    random = np.random.default_rng(seed)
    item = table["item"].to_numpy(copy=True)
    planted = np.zeros(len(table), dtype=np.int64)
    first = np.flatnonzero(np.r_[True, np.diff(table["user"].factorize()[0]) != 0])
    ends = np.r_[first[1:], len(table)] - HELD_OUT
    history, (catalogue, counts) = table["item"].to_numpy(), np.unique(table["item"], return_counts=True)
    odds = 1 / (1 + np.argsort(np.argsort(-counts))) if kind == "popular" else np.ones(len(counts))
    for user, (start, end) in enumerate(zip(first, ends, strict=True)):
        count = round(share * (end - start))
        if kind == "burst":
            other = (user + random.integers(1, len(first))) % len(first)
            count = min(count, ends[other] - first[other])
            at = start + random.integers(0, end - start - count + 1) + np.arange(count)
            there = first[other] + random.integers(0, ends[other] - first[other] - count + 1)
            drawn = history[there : there + count]
        else:
            at = start + random.choice(end - start, count, replace=False)
            drawn = random.choice(catalogue, count, p=odds / odds.sum())
        item[at], planted[at] = drawn, 1
    return table.assign(item=item, planted=planted)


def write(table: pd.DataFrame, out: Path, name: str) -> None:
    """Write a bed into the folder `out/NAME`."""
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "image.npy", features())
    (folder / f"{name}.item").write_text("item_id:token\n" + "".join(f"{item}\n" for item in range(ITEMS)), "utf-8")
    (folder / f"{name}.yaml").write_text(SETTINGS, encoding="utf-8")
    last = ~table["user"].duplicated(keep="last")
    parts = np.select([~last, table["user"] % 2 == 0], PARTS[:2], PARTS[2])
    for part in PARTS:
        rows = table.loc[parts == part, ["user", "item", "time", "planted"]]
        text = rows.to_csv(sep="\t", header=False, index=False)
        (folder / f"{name}.{part}.inter").write_text(FIELDS + text, encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.beds", description=__doc__)
    parser.add_argument("--out", default=Path("dataset"), type=Path, help="where their folders are made (dataset/)")
    parser.add_argument("--kinds", default=list(KINDS), type=some_of("kind", KINDS), help="comma between")
    parser.add_argument("--shares", default="20,40", help="per cent of a history, comma between")
    parser.add_argument("--users", default=USERS, type=int)
    args = parser.parse_args(argv)
    table = clean(args.users)
    write(table.assign(planted=0), args.out, "clean")
    for kind in tqdm(args.kinds, unit="kind", delay=1):
        for percent in map(int, args.shares.split(",")):
            noisy = plant(table, kind, percent / 100)
            write(noisy, args.out, f"{kind}-{percent}")
            write(noisy[noisy["planted"] == 0], args.out, f"{kind}-{percent}-oracle")
    sys.stdout.write(f"beds are in {args.out}\n")


if __name__ == "__main__":
    main()
