"""Datasets for RecBole out of real data, by the pack's own converter, each looked through as `recbole-mm inspect` does.

`benchmarks/README.md` ("Real data") says how SOURCE is laid out.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import recbole
from tabulate import tabulate
from tqdm import tqdm

from benchmarks.measuring import some_of
from benchmarks.texts import minilm, read_texts, words
from recbole_mm.base.errors import InputError
from recbole_mm.configuration.request import Request
from recbole_mm.conversion import interaction_table
from recbole_mm.conversion.staging import staged
from recbole_mm.conversion.writer import write
from recbole_mm.inspection.found import Inspection
from recbole_mm.inspection.walk import inspect

ML_100K = Path(recbole.__file__).parent / "dataset_example" / "ml-100k" / "ml-100k.inter"
POSTERS = "ml100k_image_efficientnet_lite0.npz"
HEADERS = ("dataset", "users", "items", "train", "valid", "test", "cold items in test", "co-consumption")

Parts = tuple[Path, dict[str, Path]]  # a table, or the folder of a split; the feature file of each modality


@dataclass(frozen=True, slots=True)
class Work:
    """What a dataset is made from: the folder of its own, TikTok's features, an encoder or "", a folder for files."""

    folder: Path
    tiktok: Path
    encoder: str
    scratch: Path


def tiktok(work: Work) -> Parts:
    return work.folder, {name: work.tiktok / f"{name}.npy" for name in ("image", "audio")}


def lfm2k(work: Work) -> Parts:
    files = {"text": "text.npy", "vggish": "audio_vggish.npy", "whisper": "audio_whisper.npy"}
    return work.folder, {name: work.folder / file for name, file in files.items()}


def sports(work: Work) -> Parts:
    return work.folder, text_features(work, work.folder / "items.tsv", "words")


def baby(work: Work) -> Parts:
    return work.folder, {}


def ml_posters(work: Work) -> Parts:
    """RecBole's own interactions with posters and descriptions; films without either get the mean of the others."""
    table = work.scratch / "interactions.tsv"
    with ML_100K.open(encoding="utf-8") as lines, table.open("w", encoding="utf-8") as plain:
        plain.write("\t".join(cell.partition(":")[0] for cell in next(lines).split("\t")) + "\n")
        plain.writelines(lines)
    texts = text_features(work, work.folder / "ml100k.tsv", "description")
    return table, {"image": posters(work, work.folder / POSTERS)} | texts


DATASETS: dict[str, tuple[str, Callable[[Work], Parts]]] = {  # the folder of each in SOURCE, and what makes it
    "tiktok": ("tiktok-official", tiktok),
    "lfm2k": ("lfm2k", lfm2k),
    "sports": ("amazon-sports", sports),
    "baby": ("amazon-baby", baby),
    "ml-posters": ("movielens-posters", ml_posters),
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


def build(
    source: Path,
    out: Path,
    names: Collection[str],
    *,
    features: Path | None = None,
    encoder: str = "",
    overwrite: bool = False,
) -> None:
    """Make the folders `out/NAME`.

    Parameters
    ----------
    source : Path
        The folder that holds one folder each dataset.
    out : Path
        RecBole's `data_path`.
    names : collection of str
        Of `DATASETS`.
    features : Path, optional
        The folder with TikTok's features; by default `tiktok` beside the source.
    encoder : str
        `minilm`, or empty.
    overwrite : bool
        Old folders are replaced.

    Raises
    ------
    InputError
        A folder or a file is missing or cannot be used, or `out/NAME` exists.
    """
    for name in names:
        if not (folder := source / DATASETS[name][0]).is_dir():
            raise InputError(f"{folder} does not exist: put {name} there, or name others with --only")
    beside = features or Path(os.path.abspath(source)).parent / "tiktok"
    for name in tqdm(names, unit="dataset", delay=1):
        place, make = DATASETS[name]
        with tempfile.TemporaryDirectory() as scratch, staged(out / name, overwrite, source) as made:
            table, files = make(Work(source / place, beside, encoder, Path(scratch)))
            for modality, file in files.items():
                if not file.is_file():
                    option = ", or give its folder with --tiktok-features" if name == "tiktok" else ""
                    raise InputError(f"{file} does not exist: put the {modality} features of {name} there{option}")
            write(interaction_table.read(table, {}, {key: str(file) for key, file in files.items()}), made, name)


def look(name: str, out: Path) -> Inspection:
    """Look at a dataset as a training of MHCR, or of LightGCN where there are no features, would find it."""
    model = "MHCR" if any((out / name).glob("*.npy")) else "LightGCN"
    return inspect(Request(model, name, settings={"data_path": str(out)}))


def row(found: Inspection) -> list[str]:
    """Return the row of `HEADERS`; the last is of neighbours in a modality, to random pairs of items."""
    if found.interactions is None or not found.splits:
        return [found.dataset, *["-"] * (len(HEADERS) - 1)]
    splits = {split.name: split for split in found.splits}
    test = splits["test"]
    ratios = {name: one.co_consumption for name, one in found.modalities.items()}
    return [
        found.dataset,
        f"{len(found.interactions.per_user):,}",
        f"{len(found.interactions.per_item):,}",
        *(f"{splits[name].n:,}" for name in ("train", "valid", "test")),
        f"{test.cold_items:,} of {test.items:,} ({test.cold_item_share:.1%})",
        ", ".join(
            f"{name} {one.ratio:.2f} ({one.neighbours:.1%} against {one.random:.1%})"
            for name, one in ratios.items()
            if one
        )
        or "-",
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Build and look; return 1 if a training on one of them would fail, 2 for a mistake in the input, else 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real_data", description=__doc__)
    parser.add_argument("source", metavar="SOURCE", type=Path, help="the folder that holds one folder each dataset")
    parser.add_argument("--out", default=Path("dataset"), type=Path, help="where their folders are made (dataset/)")
    parser.add_argument("--only", default=list(DATASETS), type=some_of("dataset", DATASETS), help="comma between")
    parser.add_argument("--tiktok-features", type=Path, help="folder of image.npy, audio.npy (tiktok beside SOURCE)")
    parser.add_argument("--encoder", default="", choices=("minilm",), help="texts by MiniLM, too, as modality minilm")
    parser.add_argument("--overwrite", action="store_true", help="replace folders that are there")
    args = parser.parse_args(argv)
    try:
        build(
            args.source,
            args.out,
            args.only,
            features=args.tiktok_features,
            encoder=args.encoder,
            overwrite=args.overwrite,
        )
        found = [look(name, args.out) for name in args.only]
    except InputError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(tabulate(list(map(row, found)), HEADERS, tablefmt="github", disable_numparse=True) + "\n")
    mistakes = [f"error: {one.dataset}: {problem.text}\n" for one in found for problem in one.problems.errors]
    sys.stderr.writelines(mistakes)
    return 1 if mistakes else 0


if __name__ == "__main__":
    sys.exit(main())
