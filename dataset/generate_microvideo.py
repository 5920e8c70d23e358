"""Write a micro-video dataset of known structure in RecBole's format: image, audio, text, time, cold items.

Items mix a few latent topics. A user likes topics, drifts slowly from one mix to another, and follows
popular items a little. Every modality is a noisy linear view of the topics of the item, so that content
predicts interactions. The same arguments give the same bytes: ``python generate_microvideo.py`` rewrites the
committed set.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

TOPICS = 8
PHASES = 4  # of the time span; within which the taste of a user stays
DRIFT = 0.4  # share of the last taste that the first one lacks
TASTE = 10.0  # weight of the topics in the choice of an item
POPULARITY = 0.5  # exponent of the power law of item popularity
DAYS = 60  # length of the time span; times are seconds from its start, which float32 holds exactly
VIEWS = {"image": (32, 0.3), "audio": (16, 1.0), "text": (24, 0.4)}  # width, noise per unit of signal
IMAGE_NORM = 40.0
AUDIO_MISSING = 0.05  # share of the items without audio
CHUNK = 1000  # users drawn at a time, which bounds the memory

SETTINGS = """\
load_col:
  inter: [user_id, item_id, timestamp]
  item: [item_id]
modalities:
  image: {{file: image.npy}}
  audio: {{file: audio.npy, ids: audio.ids}}
  text: {{file: {name}.text}}
normalize: l2
missing_modality: mean
"""

# RandomState, not Generator: numpy promises that its streams never change. All choices are made in float64,
# where the last bits that differ between processors do not reach the rounded output.


def generate(
    out: str | Path,
    name: str = "microvideo",
    *,
    users: int = 300,
    items: int = 240,
    cold_items: int = 20,
    interactions_per_user: int = 20,
    noise: float = 0.05,
    seed: int = 2024,
) -> dict[str, int]:
    """Write the dataset into the folder ``out/name`` and return its counts.

    Parameters
    ----------
    out, name : path, str
        RecBole's `data_path` and `dataset`.
    users, items : int
        Numbers of users and of all items.
    cold_items : int
        How many of the items have features and no interaction.
    interactions_per_user : int
        The mean; a user has between half and one and a half times as many, and none twice.
    noise : float
        Share of the interactions, in [0, 1], whose item is drawn at random.
    seed : int
        Seed of everything.

    Raises
    ------
    ValueError
        On numbers that make no dataset.
    """
    warm = items - cold_items
    most = interactions_per_user + interactions_per_user // 2
    if not name or Path(name).name != name:
        raise ValueError(f"name must be a plain folder name, not '{name}'.")
    if users < 1 or items < 2 or not 0 <= cold_items < items:
        raise ValueError("users >= 1, items >= 2 and 0 <= cold_items < items are needed.")
    if interactions_per_user < 1 or most > warm:
        raise ValueError(f"interactions_per_user needs between 1 and {most} different items, {warm} are warm.")
    if not 0 <= noise <= 1:
        raise ValueError(f"noise must lie in [0, 1], not {noise}.")

    rng = np.random.RandomState(seed)
    user_ids = np.char.add("u", (rng.permutation(users) + 1).astype(str))
    item_ids = np.char.add("v", (rng.permutation(items) + 1).astype(str))
    topics = rng.dirichlet(np.full(TOPICS, 0.2), items)  # (items, TOPICS)
    warm_items = np.sort(rng.permutation(items)[:warm])

    who, what, when = _interactions(rng, users, topics[warm_items], interactions_per_user, noise)
    folder = Path(out) / name
    folder.mkdir(parents=True, exist_ok=True)
    rows = zip(user_ids[who], item_ids[warm_items[what]], when, strict=True)
    _write(
        folder / f"{name}.inter",
        ["user_id:token\titem_id:token\ttimestamp:float", *(f"{u}\t{v}\t{t:.1f}" for u, v, t in rows)],
    )
    _write(folder / f"{name}.item", ["item_id:token", *item_ids])
    _write(folder / f"{name}.yaml", SETTINGS.format(name=name).splitlines())
    _write_features(rng, folder, name, item_ids, topics)
    return {"users": users, "items": items, "cold_items": cold_items, "interactions": len(who)}


def _interactions(
    rng: np.random.RandomState, users: int, topics: np.ndarray, per_user: int, noise: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw users, items (rows of `topics`) and times, in the order of time."""
    popularity = -POPULARITY * np.log(rng.permutation(len(topics)) + 1.0)
    first, last = rng.dirichlet(np.full(TOPICS, 0.15), (2, users))  # (users, TOPICS) each
    length = rng.randint((per_user + 1) // 2, per_user + per_user // 2 + 1, users)
    random = rng.binomial(length, noise)
    chosen = length - random
    ends = chosen[:, None] * np.arange(PHASES + 1) // PHASES  # (users, PHASES + 1)

    parts = []
    for start in range(0, users, CHUNK):
        some = slice(start, min(start + CHUNK, users))
        taken = np.zeros((some.stop - start, len(topics)), dtype=bool)
        for phase in range(PHASES):
            drift = DRIFT * phase / (PHASES - 1)
            taste = (1 - drift) * first[some] + drift * last[some]
            likes = TASTE * taste @ topics.T + popularity
            who, what = _draw(rng, likes, ends[some, phase + 1] - ends[some, phase], taken)
            parts.append((who + start, what, (phase + rng.random_sample(len(who))) / PHASES))
        who, what = _draw(rng, np.zeros_like(likes), random[some], taken)
        parts.append((who + start, what, rng.random_sample(len(who))))

    who, what, share = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.argsort(share, kind="stable")
    number = np.arange(len(order))
    seconds = np.floor(share[order] * DAYS * 86400) - number
    when = np.maximum.accumulate(seconds) + number  # no two interactions at the same second
    return who[order], what[order], when


def _draw(
    rng: np.random.RandomState, likes: np.ndarray, counts: np.ndarray, taken: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Draw `counts` (users,) new items with odds exp(`likes`) (users, items), and mark them as taken."""
    most = int(counts.max())
    keys = likes + rng.gumbel(size=likes.shape)  # the largest keys are a draw without replacement
    keys[taken] = -np.inf
    best = np.argpartition(-keys, min(most, keys.shape[1] - 1), axis=1)[:, :most]  # (users, most)
    order = np.argsort(-np.take_along_axis(keys, best, axis=1), axis=1, kind="stable")
    best = np.take_along_axis(best, order, axis=1)
    who, place = np.nonzero(np.arange(most) < counts[:, None])
    what = best[who, place]
    taken[who, what] = True
    return who, what


def _write_features(
    rng: np.random.RandomState, folder: Path, name: str, item_ids: np.ndarray, topics: np.ndarray
) -> None:
    views = {}
    for modality, (dim, noise) in VIEWS.items():
        signal = (topics - topics.mean(axis=0)) @ rng.standard_normal((TOPICS, dim))  # (items, dim)
        views[modality] = signal / signal.std() + noise * rng.standard_normal(signal.shape)

    image = views["image"] * (IMAGE_NORM / np.linalg.norm(views["image"], axis=1).mean())
    np.save(folder / "image.npy", image.astype(np.float16))

    heard = rng.permutation(len(item_ids))[: len(item_ids) - max(1, round(AUDIO_MISSING * len(item_ids)))]
    np.save(folder / "audio.npy", views["audio"][heard].astype(np.float16))
    _write(folder / "audio.ids", item_ids[heard])

    rows = zip(item_ids, views["text"], strict=True)
    lines = (f"{item}\t{' '.join(f'{value:.4f}' for value in row)}" for item, row in rows)
    _write(folder / f"{name}.text", ["item_id:token\ttext_emb:float_seq", *lines])
    _write_card(folder / "image.npy", "image", len(item_ids), len(item_ids))
    _write_card(folder / "audio.npy", "audio", len(item_ids), len(heard))
    _write_card(folder / f"{name}.text", "text", len(item_ids), len(item_ids))


def _write_card(features: Path, modality: str, items: int, rows: int) -> None:
    """Write what `recbole-mm inspect` shows of how features were made."""
    dim, noise = VIEWS[modality]
    told = {"modality": modality, "source": "topics of the items", "encoder": "generate_microvideo.py"}
    told |= {"weights": "", "weights_sha256": "", "preprocessing": f"a random view of them, noise {noise}", "made": ""}
    numbers = {"items": items, "rows": rows, "dim": dim, "versions": {}}
    missing = {"left out at random": items - rows} if rows < items else {}
    card = json.dumps({**told, **numbers, "missing": missing}, indent=2)
    _write(features.with_name(f"{features.name}.card.json"), [card])


def _write(file: Path, lines: list[str] | np.ndarray) -> None:
    with open(file, "w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(f"{line}\n" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=Path(__file__).resolve().parent, type=Path, help="folder of datasets")
    parser.add_argument("--name", default="microvideo", help="name of the set and its folder")
    parser.add_argument("--users", default=300, type=int)
    parser.add_argument("--items", default=240, type=int, help="all items, cold ones included")
    parser.add_argument("--cold-items", default=20, type=int, help="items without an interaction")
    parser.add_argument("--interactions-per-user", default=20, type=int, help="the mean")
    parser.add_argument("--noise", default=0.05, type=float, help="share of interactions with random items")
    parser.add_argument("--seed", default=2024, type=int)
    arguments = vars(parser.parse_args())
    try:
        counts = generate(**arguments)
    except ValueError as error:
        parser.error(str(error))
    told = ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in counts.items())
    sys.stdout.write(f"{arguments['out'] / arguments['name']}: {told}\n")


if __name__ == "__main__":
    main()
