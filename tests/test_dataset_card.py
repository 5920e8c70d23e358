"""The data set card of `inspect --card`: what is counted, what is left to its author, and where it is written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from training import DATASETS, write_toy

from recbole_mm.commands.cli import main
from recbole_mm.inspection import dataset_card
from recbole_mm.inspection.inspect_tables import Table


def test_a_card_has_what_the_screen_has(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["inspect", "microvideo", f"--data_path={DATASETS}", "--card", "--out=page.html"]) == 0
    said, card = capsys.readouterr().out, Path("page.md").read_text(encoding="utf-8")
    assert "The card is page.md" in said
    assert card.startswith("# microvideo\n\n300 users, 240 items, 6,148 interactions, density 8.54 %\n")
    assert re.findall(r"^## (.+)$", card, re.MULTILINE) == [
        "Interactions", "Splits", "Modalities", "How features were made", "Co-consumption", "Problems",
    ]  # fmt: skip
    assert "- Licence: to be filled in" in card
    rows = [re.split(r"\s*\|\s*", line)[1:-1] for line in card.splitlines() if line.startswith("|")]
    assert ["train", "5,180", "300", "220", "", "", "", ""] in rows
    assert ["audio", "228", "16", "float16", "95.0%", "2.59 / 5.38 / 10.9", "0", "0", "0"] in rows
    for line in said.splitlines():  # every cell of the screen's tables is in the card's
        cells = re.split(r"\s{2,}", line.strip())
        if cells[0] in ("valid", "test", "image", "text") and len(cells) > 5:
            assert any(set(cells) <= set(row) for row in rows), cells
    assert re.search(r"The hash of its files is `[0-9a-f]{64}`", card)
    assert str(DATASETS) not in card


def test_a_card_of_a_broken_dataset_names_what_is_wrong(tmp_path: Path) -> None:
    place = write_toy(tmp_path)
    (place / "toy/toy.item").write_text("item_id\ni1\n", encoding="utf-8")
    assert main(["inspect", "toy", "--model=BPR", f"--data_path={place}", "--card"]) == 1
    card = Path("inspect-toy.md").read_text(encoding="utf-8")
    assert "The dataset cannot be loaded." in card
    assert "- error: " in card
    assert "toy.item, line 1: 'item_id' has no type" in card


def test_cells_are_escaped() -> None:
    assert "a\\|b" in dataset_card._markdown(Table(("x", "y"), [("a|b", "1")]))


def test_without_the_option_there_is_no_card() -> None:
    main(["inspect", "microvideo", f"--data_path={DATASETS}"])
    assert not list(Path().glob("*.md"))
