"""Tables of the screen: aligned, blank where there is nothing, and within the width of the terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_mm.base.screen_tables import LEAST, text_table
from recbole_mm.training.run_screen import groups_table

GROUP = {"degree": "10+", "evaluated": 943}


def test_numbers_stand_right_and_what_is_missing_is_blank() -> None:
    assert text_table(("name", "n", "score", "note"), [("a", 7, 0.5, None), ("bb", 12, None, "x")], width=80) == (
        "name   n   score  note\n"
        "----  --  ------  ----\n"
        "a      7  0.5000\n"
        "bb    12          x"
    )  # fmt: skip


def test_headers_are_wrapped_before_texts_and_texts_at_words() -> None:
    rows = [("first", 3, "several words that need room")]
    assert text_table(("name", "number of things", "note"), rows, width=45) == (
        "name   number  note\n"
        "           of\n"
        "       things\n"
        "-----  ------  ----------------------------\n"
        "first       3  several words that need room"
    )
    assert text_table(("name", "number of things", "note"), rows, width=30) == (
        "name   number  note\n"
        "           of\n"
        "       things\n"
        "-----  ------  ---------------\n"
        "first       3  several words\n"
        "               that need room"
    )


def test_a_word_is_broken_where_nothing_else_helps() -> None:
    rows = [("a_rather_long_name", "some words beside it")]
    whole = text_table(("name", "note"), rows, width=32)
    assert [line.rstrip() for line in whole.splitlines()[2:]] == [
        "a_rather_long_name  some words",
        "                    beside it",
    ]
    assert text_table(("name", "note"), rows, width=27).splitlines()[2].rstrip() == "a_rather_long  some words"


def test_a_table_without_rows_has_its_headers() -> None:
    assert text_table(("a", "bc"), []) == "a  bc\n-  --"


@given(
    st.lists(st.tuples(st.text("abc ", max_size=60), st.integers(0, 10**6), st.text("xyz ", max_size=60)), max_size=4),
    st.integers(2 * LEAST + 7 + 4, 130),
)
def test_no_line_is_wider_than_asked_for(rows: list[tuple[str, int, str]], width: int) -> None:
    lines = text_table(("one text", "number", "another text"), rows, width=width).splitlines()
    assert max(map(len, lines)) <= width


def test_the_groups_of_a_run_fit_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    metrics = dict.fromkeys(("recall@10", "mrr@10", "ndcg@10", "hit@10", "precision@10"), 0.25)
    groups = {"users": [{"group": "many", **GROUP, "metrics": metrics}, {"group": "few", **GROUP, "metrics": {}}]}
    lines = groups_table(groups, "NDCG@10").splitlines()
    assert lines[:2] == [
        "test, by training interactions",
        "group             evaluated  recall@10  mrr@10  ndcg@10  hit@10  precision@10",
    ]
    assert lines[3] == "users: many, 10+        943     0.2500  0.2500   0.2500  0.2500        0.2500"
    assert max(map(len, lines)) <= 80
