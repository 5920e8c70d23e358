"""`recbole-mm models` and `recbole-mm settings` tell of everything that can be named on a command line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from recbole.utils import get_model

from recbole_mm.commands import cli
from recbole_mm.commands.models import needed
from recbole_mm.configuration.recbole_settings import SETTING_TABLE
from recbole_mm.configuration.valid_names import model_names
from recbole_mm.recbole_bridge.own_names import MODELS
from recbole_mm.settings.parameters import defaults

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    capsys.readouterr()
    assert cli.main(words) == code
    printed = capsys.readouterr()
    return printed.err if code else printed.out


def test_every_model_is_listed_once(capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, "models")
    listed = re.findall(r"^(\w+) +(?:general|sequential) ", out, re.MULTILINE)
    for line in out.splitlines():
        if re.match(r"  \w", line):
            listed += [name for name in re.split(r"[ ,]+", line) if name]
    assert sorted(listed) == sorted(model_names())
    assert out.count("\nModels of RecBole, ") == 5


@pytest.mark.parametrize("model", MODELS)
def test_the_pack_s_models_have_the_paper_and_the_modalities_that_they_need(
    model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first, *table = said(capsys, "models", model).splitlines()
    paper = re.findall(rf"^\| {model}[,a-z ]* \| \[?((?:arXiv )?[\w. ]+)", README, re.MULTILINE)[0]
    assert f"({paper.strip()}). Modalities needed: {needed(model)}." in first
    assert getattr(get_model(model), "modalities_required", False) == (not needed(model).startswith("none"))
    assert {line.split(" ")[0] for line in table} >= set(defaults(get_model(model).parameter_class))


def test_recbole_s_models_have_their_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, "models", "LightGCN")
    assert out.startswith("LightGCN, general, of RecBole.\n")
    assert re.search(r"^n_layers +2$", out, re.MULTILINE)
    assert said(capsys, "models", "Random").strip() == "Random, general, of RecBole."


def test_an_unknown_model_shows_the_five_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    line = said(capsys, "models", "LihgtGCN", code=2)
    assert line.startswith("error: unknown model 'LihgtGCN'; the nearest are LightGCN, ")
    assert line.count(",") == 4


def test_every_setting_is_listed_with_what_it_may_be(capsys: pytest.CaptureFixture[str]) -> None:
    first = {line.split(" ")[0] for line in said(capsys, "settings").splitlines()}
    assert first >= set(SETTING_TABLE) | {
        "threads",
        "exclude_seen",
        "train_histories",
        "batches_per_step",
        "user_group_edges",
    }
    assert "a whole number between 0 and 4294967295" in said(capsys, "settings", "seed")
    assert "tau of LGMRec" in said(capsys, "settings", "tau")
    assert said(capsys, "settings", "sed", code=2) == "error: unknown setting 'sed'. Did you mean 'seed'?\n"
    line = said(capsys, "settings", "attn_dropout_prob", code=2)
    assert line.startswith("error: attn_dropout_prob is a parameter of FiGNN, BERT4Rec, ")
    assert line.endswith(": see recbole-mm models FiGNN\n")
