"""A dataset of six items, and the command on it."""

from __future__ import annotations

from pathlib import Path

from recbole_mm.commands import cli
from recbole_mm.data.folder import DatasetFolder

TITLES = {"a": "red bike lamp", "b": "Red bike", "c": "blue tent", "d": "blue tent pole", "e": "", "f": "unicorn"}


def toy_dataset(place: Path) -> DatasetFolder:
    """Return a dataset of six items with titles, one of them empty and one like no other."""
    place.mkdir()
    rows = [f"{item}\t{title}\t{number % 2}\n" for number, (item, title) in enumerate(TITLES.items())]
    (place / "toy.item").write_text("item_id:token\ttitle:token_seq\tkind:token\n" + "".join(rows))
    lines = [f"u{user}\t{item}\t{time}\n" for user in range(8) for time, item in enumerate("abcdef"[user % 3 :][:4])]
    (place / "toy.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\n" + "".join(lines))
    (place / "toy.yaml").write_text("load_col: {inter: [user_id, item_id, timestamp]}\n")
    return DatasetFolder(place, "toy")


def run_extract(folder: DatasetFolder, *options: str) -> int:
    return cli.main(["features", "extract", "toy", f"--data_path={folder.path.parent}", *options])
