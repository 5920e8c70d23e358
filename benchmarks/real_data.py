"""Datasets for RecBole out of real data, by the pack's own converter, each looked through as `recbole-mm inspect` does.

`benchmarks/README.md` ("Real data") says how SOURCE is laid out.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import yaml
from tabulate import tabulate
from tqdm import tqdm

from benchmarks.measuring import some_of
from benchmarks.real_sources import DATASETS, Work
from recbole_mm.base.errors import InputError
from recbole_mm.configuration.request import Request
from recbole_mm.conversion import interaction_table
from recbole_mm.conversion.staging import staged
from recbole_mm.conversion.writer import write
from recbole_mm.inspection.found import Inspection
from recbole_mm.inspection.walk import inspect

HEADERS = ("dataset", "users", "items", "train", "valid", "test", "cold items in test", "co-consumption")


def build(
    source: Path,
    out: Path,
    names: Collection[str],
    *,
    tiktok_features: Path | None = None,
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
    tiktok_features : Path, optional
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
    beside = tiktok_features or Path(os.path.abspath(source)).parent / "tiktok"
    for name in tqdm(names, unit="dataset", delay=1):
        place, make = DATASETS[name]
        with tempfile.TemporaryDirectory() as scratch, staged(out / name, overwrite, source) as made:
            parts = make(Work(source / place, beside, encoder, Path(scratch)))
            for modality, file in parts.features.items():
                if not file.is_file():
                    option = ", or give its folder with --tiktok-features" if name == "tiktok" else ""
                    raise InputError(f"{file} does not exist: put the {modality} features of {name} there{option}")
            features = {modality: str(file) for modality, file in parts.features.items()}
            write(interaction_table.read(parts.interactions, {}, features), made, name)
            if parts.words:
                add_words(made, name, parts.words)


def add_words(folder: Path, name: str, words: Mapping[str, str]) -> None:
    """Give the items of a dataset a field `words`, which SASRecF, GRU4RecF and FDSA can read."""
    items, settings = folder / f"{name}.item", folder / f"{name}.yaml"
    header, *ids = items.read_text("utf-8").splitlines()
    rows = [f"{item}\t{' '.join(words.get(item, '').split())}\n" for item in ids]
    items.write_text(f"{header}\twords:token_seq\n" + "".join(rows), "utf-8")
    described = yaml.safe_load(settings.read_text("utf-8"))
    described["load_col"]["item"].append("words")
    settings.write_text(yaml.safe_dump(described, default_flow_style=None, sort_keys=False), "utf-8")


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
            tiktok_features=args.tiktok_features,
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
