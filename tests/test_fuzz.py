"""Broken files of a dataset: one line that says what is wrong, or every row of features with its own item."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recbole_mm.base.errors import InputError
from recbole_mm.configuration.request import Request, configure
from recbole_mm.training.build import load_dataset, split_dataset

ITEMS = ["a", "b", "c", "007", "é", "f"]
FILES = ("toy.inter", "toy.item", "image.ids", "toy.text", "toy.yaml")
IMAGE = np.arange(6.0).reshape(3, 2)
PIECES = [
    b"\t",
    b"\n",
    b"\r",
    b'"',
    b"\0",
    b"\xff",
    b":",
    b" ",
    b",",
    b"nan",
    b"NA",
    b"a",
    b"1e999",
    b"\xef\xbb\xbf",
    b"[",
]
YAML = """load_col: {inter: [user_id, item_id], item: [item_id]}
modalities:
  image: {file: image.npy, ids: image.ids}
  text: {file: toy.text}
normalize: none
missing_modality: zero
topk: [2]
valid_metric: MRR@2
"""


def write(folder: Path) -> None:
    pairs = [(f"u{user}", ITEMS[(user + step) % 5]) for user in range(6) for step in range(4)]
    lines = {
        "toy.inter": ["user_id:token\titem_id:token", *(f"{user}\t{item}" for user, item in pairs)],
        "toy.item": ["item_id:token", *ITEMS],
        "image.ids": ITEMS[:3],
        "toy.text": [
            "item_id:token\tx:float_seq",
            *(f"{item}\t{10 + 2 * n} {11 + 2 * n}" for n, item in enumerate(ITEMS)),
        ],
    }
    for name, content in lines.items():
        (folder / name).write_text("".join(f"{line}\n" for line in content), encoding="utf-8")
    (folder / "toy.yaml").write_text(YAML)
    np.save(folder / "image.npy", IMAGE)


@st.composite
def damages(draw: st.DrawFn) -> tuple[str, list[tuple[float, float, bytes]]]:
    """Draw a file, and stretches of it that give way to a few bytes."""
    place = st.floats(0, 1)
    piece = st.sampled_from(PIECES) | st.binary(max_size=3) | st.just(b"")
    length = st.sampled_from([0.0, 0.01, 0.05, 1.0])
    return draw(st.sampled_from(FILES)), draw(st.lists(st.tuples(place, length, piece), min_size=1, max_size=3))


def damage(content: bytes, changes: list[tuple[float, float, bytes]]) -> bytes:
    for place, length, piece in changes:
        start = int(place * len(content))
        content = content[:start] + piece + content[start + int(length * len(content)) :]
    return content


def rows_in(folder: Path) -> dict[str, dict[str, list[float]]]:
    """Return the features by item as a plain reading of the (broken) files has them."""
    ids, text_lines = ((folder / name).read_text(encoding="utf-8").split("\n") for name in ("image.ids", "toy.text"))
    ids[0] = ids[0].removeprefix("\ufeff")
    image = dict(zip([line for line in ids if line.strip()], IMAGE.tolist(), strict=True))
    text = {}
    for line in text_lines[1:]:
        if line.strip():
            item, numbers = line.replace('"', "").split("\t")[:2]
            if numbers.strip():  # an empty cell is a missing row
                text[item] = [float(number) for number in numbers.split()]
    return {"image": image, "text": text}


@settings(deadline=None, max_examples=150)
@given(damages())
@example(("toy.inter", [(0.5, 0.0, b'\t"')]))
@example(("toy.item", [(0.0, 1.0, b"")]))
@example(("toy.yaml", [(0.96875, 0.05, b"")]))
def test_broken_files_are_refused_or_read_right(broken: tuple[str, Any]) -> None:
    name, changes = broken
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "toy"
        folder.mkdir()
        write(folder)
        (folder / name).write_bytes(damage((folder / name).read_bytes(), changes))
        try:
            config = configure(Request("MHCR", "toy", settings={"data_path": root, "eval_args": "{}"}))
            data = load_dataset(config)
            split_dataset(config, data)
        except InputError as error:
            refused = str(error)
        else:
            refused = ""
        if refused or name == "toy.yaml":  # another description of the same files
            assert "\n" not in refused.partition("for example:\n")[0]
            return
        expected = rows_in(folder)
        tokens = data.field2id_token["item_id"]
        for modality in data.modality_names:
            features, real = data.modality(modality).tolist(), data.modality_mask(modality).tolist()
            for token, row, is_real in zip(tokens, features, real, strict=True):
                assert is_real == (token in expected[modality])
                assert row == pytest.approx(expected[modality][token] if is_real else [0] * len(row))  # float32
