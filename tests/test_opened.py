"""How often a run opens its files: the data are checked, hashed and loaded without reading them again and again."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from model_contract import DATASETS

from recbole_mm.configuration.request import Request
from recbole_mm.training.run import run

COUNTED: list[Counter[str]] = []  # an audit hook stays for as long as the process


def _count(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and COUNTED:
        COUNTED[0][str(arguments[0])] += 1


@pytest.fixture
def opened() -> Any:
    sys.addaudithook(_count)
    COUNTED.append(Counter())
    yield COUNTED[0]
    COUNTED.clear()


def test_a_run_opens_each_data_file_a_few_times(tmp_path: Path, opened: Counter[str]) -> None:
    folder = tmp_path / "data" / "microvideo"
    shutil.copytree(DATASETS / "microvideo", folder)
    opened.clear()
    settings = {"data_path": str(folder.parent), "epochs": 1, "use_gpu": False, "show_progress": False}
    run(Request("MHCR", "microvideo", settings=settings))
    assert {file.name: opened[str(file)] for file in folder.iterdir()} == {
        "microvideo.inter": 6,  # to check and hash it, by RecBole for its header, and for the header and each column
        "microvideo.item": 3,
        "image.npy": 2,  # its header, and its rows with their hash
        "audio.npy": 2,
        "audio.ids": 1,
        "microvideo.text": 1,
        "microvideo.yaml": 2,  # its names, and by RecBole
        **dict.fromkeys(("image.npy.card.json", "audio.npy.card.json", "microvideo.text.card.json"), 0),
    }
