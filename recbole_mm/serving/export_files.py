"""The files of an exported folder: all of one export, or known as incomplete."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recbole_mm.base.files import folder_lock
from recbole_mm.serving.export_card import CARD
from recbole_mm.serving.onnx_users import ONNX

ARRAYS = ("users", "items", "seen_starts", "seen_items")  # .npy
ID_TABLES = ("users", "items")  # .ids, and .parquet
INDEX = "items.faiss"
PARTIAL = ".partial"  # the folder that an export is written to
EXPORT_FILES = {
    CARD, INDEX, ONNX, f"{ONNX}.data",
    *(f"{name}.npy" for name in ARRAYS), *(f"{name}{ending}" for name in ID_TABLES for ending in (".ids", ".parquet")),
}  # fmt: skip


@contextmanager
def replaced_export(out: Path) -> Iterator[Path]:
    """Give an empty folder to write an export to, which replaces the last one at the end of the block.

    An error in the block leaves the last export as it was. The card is removed first and comes last, and files that the
    new export does not have are removed.

    Raises
    ------
    InputError
        Another command works in the folder.
    """
    with folder_lock(out):
        partial = out / PARTIAL
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            yield partial
            _replace(out, sorted(partial.iterdir(), key=lambda file: file.name == CARD))
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _replace(out: Path, files: list[Path]) -> None:
    for file in files:
        with file.open("r+b") as stream:
            os.fsync(stream.fileno())
    (out / CARD).unlink(missing_ok=True)
    for name in EXPORT_FILES - {file.name for file in files}:
        (out / name).unlink(missing_ok=True)
    for file in files:
        os.replace(file, out / file.name)


def is_incomplete(folder: Path) -> bool:
    """Return whether an export has begun in a folder and has not ended."""
    begun = (PARTIAL, *(f"{name}.npy" for name in ARRAYS))
    return not (folder / CARD).exists() and any((folder / name).exists() for name in begun)
