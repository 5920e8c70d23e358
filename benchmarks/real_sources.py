"""How folders of real data are laid out, and what a dataset is made from: interactions, features, words of items."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import recbole

from benchmarks.texts import minilm, read_texts, words
from recbole_mm.base.errors import InputError

ML_100K = Path(recbole.__file__).parent / "dataset_example" / "ml-100k" / "ml-100k.inter"
POSTERS = "ml100k_image_efficientnet_lite0.npz"


class Parts(NamedTuple):
    """A table, or the folder of a split; the feature file of each modality; the words of items."""

    interactions: Path
    features: Mapping[str, Path] = MappingProxyType({})
    words: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Work:
    """What a dataset is made from: the folder of its own, TikTok's features, an encoder or "", a folder for files."""

    folder: Path
    tiktok: Path
    encoder: str
    scratch: Path


def tiktok(work: Work) -> Parts:
    return Parts(work.folder, {name: work.tiktok / f"{name}.npy" for name in ("image", "audio")})


def lfm2k(work: Work) -> Parts:
    files = {"text": "text.npy", "vggish": "audio_vggish.npy", "whisper": "audio_whisper.npy"}
    return Parts(work.folder, {name: work.folder / file for name, file in files.items()})


def sports(work: Work) -> Parts:
    return Parts(work.folder, text_features(work, work.folder / "items.tsv", "words"))


def baby(work: Work) -> Parts:
    return Parts(work.folder)


def sequences(work: Work) -> Parts:
    """Interactions in the order of time, whose time is their place in the user's sequence, and words of the items."""
    table, file = work.scratch / "interactions.tsv", work.folder / "sequences.tsv"
    try:
        header, *lines = file.read_text(encoding="utf-8").splitlines()
        rows = [line.split("\t") for line in lines]
        each = [(user, item, time) for user, items in rows for time, item in enumerate(items.split())]
    except (OSError, UnicodeDecodeError, ValueError) as error:
        problem = getattr(error, "strerror", None) or error
        raise InputError(f"{file}: no lines of user_id and item_id_list can be read ({problem})") from error
    if header.split("\t") != ["user_id", "item_id_list"]:
        raise InputError(f"{file}, line 1: the columns must be user_id and item_id_list, not {header}")
    table.write_text("user_id\titem_id\ttimestamp\n" + "".join(f"{u}\t{i}\t{t}\n" for u, i, t in each), "utf-8")
    items = work.folder / "items.tsv"
    return Parts(table, text_features(work, items, "words"), dict(zip(*read_texts(items, "words"), strict=True)))


def ml_posters(work: Work) -> Parts:
    """RecBole's own interactions with posters and descriptions; films without either get the mean of the others."""
    table = work.scratch / "interactions.tsv"
    with ML_100K.open(encoding="utf-8") as lines, table.open("w", encoding="utf-8") as plain:
        plain.write("\t".join(cell.partition(":")[0] for cell in next(lines).split("\t")) + "\n")
        plain.writelines(lines)
    texts = text_features(work, work.folder / "ml100k.tsv", "description")
    return Parts(table, {"image": posters(work, work.folder / POSTERS)} | texts)


DATASETS: dict[str, tuple[str, Callable[[Work], Parts]]] = {  # the folder of each in SOURCE, and what makes it
    "tiktok": ("tiktok-official", tiktok),
    "lfm2k": ("lfm2k", lfm2k),
    "sports": ("amazon-sports", sports),
    "baby": ("amazon-baby", baby),
    "ml-posters": ("movielens-posters", ml_posters),
    "beauty": ("amazon-beauty", sequences),
    "sports-sequences": ("amazon-sports", sequences),
}


def text_features(work: Work, file: Path, column: str) -> dict[str, Path]:
    """Return the feature files of a column of texts: its words, and what the encoder makes of it if there is one."""
    ids, texts = read_texts(file, column)
    found = {"text": save(work, "text", *words(ids, texts))}
    if work.encoder:
        found[work.encoder] = save(work, work.encoder, ids, minilm(texts))
    return found


def posters(work: Work, file: Path) -> Path:
    """Return a feature file of rows `x` whose items are `item_id`."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return save(work, "image", arrays["item_id"].astype(str).tolist(), arrays["x"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        problem = getattr(error, "strerror", None) or error
        raise InputError(f"{file}: no arrays item_id and x can be read ({problem}): put the file there") from error


def save(work: Work, name: str, ids: Sequence[str], rows: np.ndarray) -> Path:
    file = work.scratch / f"{name}.npy"
    np.save(file, rows)
    file.with_suffix(".ids").write_text("".join(f"{item}\n" for item in ids), encoding="utf-8")
    return file
