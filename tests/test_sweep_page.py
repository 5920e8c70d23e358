"""The record of a sweep: best epochs and trials, trials.csv, and the page, read back as a browser would."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

import pytest
from pages import Page

from recbole_mm.settings.space import Domain
from recbole_mm.tuning.sweep_page import duration, sweep_html, sweep_summary
from recbole_mm.tuning.sweep_plots import Axis, axis_of
from recbole_mm.tuning.trials import Sweep, Trial, trials_csv

EVIL = "<script>alert(1)</script>&%{x}"
PLOTS = ("curves", "settings", "parallel")


def epochs(*scores: float | None, loss: float = 1.0) -> tuple[dict[str, Any], ...]:
    return tuple(
        {"epoch": epoch, "seconds": 1.5, "train_loss": loss, "valid_score": score, "valid": {"ndcg@10": score}}
        for epoch, score in enumerate(scores)
    )


def trial(name: str, *scores: float | None, status: str = "finished", error: str = "", **params: Any) -> Trial:
    return Trial(name, params, status, error, epochs(*scores))


def sweep(*trials: Trial, **changed: Any) -> Sweep:
    given = {"model": "MHCR", "dataset": "ml-100k", "valid_metric": "NDCG@10", "default_score": None}
    return Sweep(**{**given, "trials": trials, "seconds": 3725.0, **changed})


THREE = (
    trial("t0", 0.1, None, 0.3, 0.2, learning_rate=0.001, layers=2, widths={"image": 64}),
    trial("t1", 0.4, 0.4, status="stopped", learning_rate=0.5, layers=3, widths=None),
    trial("t2", 0.9, status="failed", error="Traceback\n  RuntimeError: <out of memory>", learning_rate=0.01, layers=1,
          widths="a,b"),
)  # fmt: skip


def plot(text: str, name: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the traces and the layout of a plot."""
    rest = text.split("Plotly.newPlot(", 1)[1] if name == PLOTS[0] else text
    rest = rest[rest.rindex(f'"{name}",') + len(name) + 3 :].lstrip()
    data, end = json.JSONDecoder(parse_constant=pytest.fail).raw_decode(rest)
    return data, json.JSONDecoder(parse_constant=pytest.fail).raw_decode(rest[end:].lstrip(", \n"))[0]


@pytest.mark.parametrize(
    ("scores", "metric", "expected"),
    [
        ((0.1, 0.3, 0.2), "NDCG@10", (0.3, 1)),
        ((0.1, 0.3, 0.2), "RMSE", (0.1, 0)),
        ((0.3, None, 0.3, 0.1), "NDCG@10", (0.3, 2)),
        ((0.1, 0.3, 0.1), "RMSE", (0.1, 2)),
        ((math.nan, 0.1, math.inf), "NDCG@10", (0.1, 1)),
        ((None, math.nan), "NDCG@10", (None, None)),
        ((), "NDCG@10", (None, None)),
    ],
)
def test_best_epoch_is_the_last_among_equals(scores: Any, metric: str, expected: Any) -> None:
    one = trial("t", *scores)
    assert (one.best_score(metric), one.best_epoch(metric)) == expected


def test_best_trial() -> None:
    found = sweep(*THREE)
    assert [one.name for one in found.ranked] == ["t1", "t0"]  # a failed one has no settings to recommend
    assert found.best is THREE[1]
    assert sweep(*THREE, valid_metric="RMSE").best is THREE[0]
    assert sweep(trial("a", 0.2), trial("b", 0.2)).best.name == "a"  # type: ignore[union-attr]
    assert sweep(THREE[2], trial("b")).best is None
    assert found.settings == ["learning_rate", "layers", "widths"]


def test_trials_csv() -> None:
    odd = trial("t3", epochs_=1, layers=2)
    assert trials_csv(sweep(*THREE, odd)) == (
        "trial,status,best_score,best_epoch,epochs_trained,seconds,learning_rate,layers,widths,epochs_,error\n"
        "t0,finished,0.3,2,4,6.0,0.001,2,{'image': 64},,\n"
        "t1,stopped,0.4,1,2,3.0,0.5,3,None,,\n"
        't2,failed,0.9,0,1,1.5,0.01,1,"a,b",,Traceback RuntimeError: <out of memory>\n'
        "t3,finished,,,0,0.0,,2,,1,\n"
    )


def test_epochs_that_were_not_validated_count_as_trained() -> None:
    every_second = tuple(one for one in epochs(0.1, 0.1, 0.2, 0.3) if one["epoch"] % 2)
    found = sweep(Trial("t", {"layers": 2}, "finished", "", every_second))
    (row,) = csv.DictReader(io.StringIO(trials_csv(found), newline=""))
    assert (row["best_epoch"], row["epochs_trained"], row["seconds"]) == ("3", "4", "3.0")
    cells = "".join(f"<td>{cell}</td>" for cell in ("t", "finished", "0.3000", "3", "4", "3.0 s", "2"))
    assert f"<tr>{cells}</tr>" in sweep_html(found)


def test_trials_csv_comes_back() -> None:
    text = 'a "b",\n c'
    assert next(csv.DictReader(io.StringIO(trials_csv(sweep(trial("t", x=text))), newline="")))["x"] == text


def test_summary() -> None:
    assert sweep_summary(sweep(*THREE, default_score=0.35)) == (
        "3 trials in 1 h 2 min: 1 finished, 1 stopped, 1 failed. Best validation NDCG@10 0.4000, of t1 after epoch 1; "
        "0.3500 with the default settings."
    )
    assert sweep_summary(sweep(THREE[2], seconds=2)) == "1 trial in 2.0 s: 1 failed. None has a score."
    assert sweep_summary(sweep(THREE[2], seconds=None)) == "1 trial: 1 failed. None has a score."
    assert sweep_summary(sweep(seconds=0, default_score=0.1)) == (
        "0 trials in 0.0 s. None has a score; 0.1000 with the default settings."
    )
    assert [duration(seconds) for seconds in (59.4, 60, 3599.6)] == ["59.4 s", "1 min 0 s", "1 h 0 min"]


def test_the_page_needs_no_other_file() -> None:
    text = sweep_html(sweep(*THREE))
    tags = Page(text)
    assert tags.addresses == []
    assert text.count("plotly.js v") == 1
    assert tags.tags.count("script") == 3 + len(PLOTS)
    assert "<title>Sweep of MHCR on ml-100k</title>" in text


def test_learning_curves_tell_how_a_trial_ended() -> None:
    traces, layout = plot(sweep_html(sweep(*THREE, default_score=0.2)), "curves")
    scores, losses = traces[::2], traces[1::2]
    assert [(each["name"], each["line"]["dash"]) for each in scores] == [
        ("finished", "solid"), ("failed", "dot"), ("best", "dash"),
    ]  # fmt: skip
    assert (scores[0]["x"], scores[0]["y"]) == ([0, 2, 3], [0.1, 0.3, 0.2])  # epochs with validation
    assert losses[0]["x"] == [0, 1, 2, 3]
    assert [each["showlegend"] for each in traces] == [True, False] * 3
    assert scores[2]["meta"] == ["t1, stopped<br>learning_rate: 0.5<br>layers: 3<br>widths: None"]
    assert scores[2]["line"]["width"] > scores[0]["line"]["width"]
    assert [each["y0"] for each in layout["shapes"]] == [0.2]


def test_settings_against_score() -> None:
    traces, layout = plot(sweep_html(sweep(*THREE)), "settings")
    assert [each["x"] for each in traces] == [[0.001, 0.5], [2, 3], ["{'image': 64}", "None"]]
    assert [each["y"] for each in traces] == [[0.3, 0.4]] * 3
    assert traces[0]["marker"]["symbol"] == ["circle", "star"]
    assert [layout[axis]["type"] for axis in ("xaxis", "xaxis2", "xaxis3")] == ["log", "linear", "category"]
    assert "shapes" not in layout
    assert ("yaxis3" in layout, "yaxis4" in layout) == (True, False)  # no empty plot beside the third


def test_parallel_coordinates() -> None:
    (trace,), _ = plot(sweep_html(sweep(*THREE)), "parallel")
    rate, layers, widths, score = trace["dimensions"]
    assert rate["values"] == pytest.approx([-3, math.log10(0.5)])
    assert rate["range"] == pytest.approx([-3, math.log10(0.5)])
    assert rate["ticktext"] == ["0.001", "0.002", "0.005", "0.01", "0.02", "0.05", "0.1", "0.2", "0.5"]
    assert rate["tickvals"] == pytest.approx([math.log10(float(text)) for text in rate["ticktext"]])
    assert (layers["values"], layers["range"]) == ([2, 3], [1, 3])
    assert widths["range"] == [0, 2]
    assert (widths["values"], widths["ticktext"]) == ([2, 0], ["None", "a,b", "{'image': 64}"])
    assert (score["label"], score["values"], trace["line"]["color"]) == ("NDCG@10", [0.3, 0.4], [0.3, 0.4])


@pytest.mark.parametrize(
    ("values", "axis"),
    [
        ((1, 2.5), Axis("linear", (1, 2.5))),
        ((0.01, 1), Axis("linear", (0.01, 1))),
        ((0.0099, 1), Axis("log", (0.0099, 1))),
        ((0, 1000), Axis("linear", (0, 1000))),
        ((-1, 1000), Axis("linear", (-1, 1000))),
        ((5, 5), Axis("linear", (5, 5))),
        ((True, False), Axis("category", words=("False", "True"))),
        ((10, None, 9, "x"), Axis("category", words=("9", "10", "None", "x"))),
        (([64, 64], [64]), Axis("category", words=("[64, 64]", "[64]"))),
        ((1.0, math.nan), Axis("category", words=("1", "nan"))),
    ],
)
def test_axes(values: tuple[Any, ...], axis: Axis) -> None:
    trials = [trial(str(place), x=value) for place, value in enumerate(values)]
    assert axis_of(sweep(*trials), "x") == axis


def test_a_choice_of_numbers_is_a_choice() -> None:
    trials = trial("a", 0.1, x=1024), trial("b", 0.2, x=16)
    assert axis_of(sweep(*trials, space={"x": Domain("choice", (16, 1024))}), "x") == Axis(
        "category", words=("16", "1024")
    )
    assert axis_of(sweep(*trials, space={"x": Domain("randint", (16, 1024))}), "x") == Axis("linear", (16, 1024))


def test_everything_of_the_data_is_escaped() -> None:
    bad = trial(EVIL, 0.1, status="failed", error=EVIL, **{EVIL: EVIL})
    good = trial(EVIL, 0.2, **{EVIL: {EVIL: EVIL}})
    text = sweep_html(sweep(bad, good, model=EVIL, dataset=EVIL, valid_metric=EVIL))
    assert "<script>alert" not in text
    assert Page(text).tags.count("script") == 3 + len(PLOTS)
    assert any(EVIL in part for part in Page(text).texts)
    for name in PLOTS[:2]:
        assert "<script>" not in json.dumps(plot(text, name))
    assert "<script>" not in json.dumps([each["label"] for each in plot(text, "parallel")[0][0]["dimensions"]])
    assert "<script>" in json.dumps(plot(text, "parallel"))  # ticks, where plotly reads no HTML
    assert "alert" not in json.dumps([each["hovertemplate"] for each in plot(text, "curves")[0]])


def test_losses_that_are_no_numbers_are_gaps() -> None:
    one = Trial("t", {"x": 1}, "finished", "", epochs(0.1, loss=math.nan) + epochs(math.inf, loss=math.inf))
    score, loss = plot(sweep_html(sweep(one)), "curves")[0]
    assert score["y"] == [0.1]
    assert loss["y"] == [None, None]


@pytest.mark.parametrize(
    ("trials", "plots"),
    [
        ((), []),
        ((trial("t", status="failed", x=1),), []),
        ((trial("t", None, status="running", x=1),), ["curves"]),
        ((trial("t", 0.1, status="failed", x=1),), ["curves"]),
        ((trial("t", 0.1),), ["curves"]),
        ((trial("t", 0.1, x=1),), ["curves", "settings", "parallel"]),
        ((trial("t", 0.1, x=1), trial("u", 0.1, y=None)), ["curves", "settings", "parallel"]),
    ],
)
def test_a_page_of_little(trials: tuple[Trial, ...], plots: list[str]) -> None:
    text = sweep_html(sweep(*trials))
    assert [name for name in PLOTS if f'id="{name}"' in text] == plots
    assert ("Failed trials" in text) == any(one.status == "failed" for one in trials)
    assert ("no error was recorded" in text) == any(one.status == "failed" for one in trials)


def test_the_best_ten_are_in_the_table() -> None:
    text = sweep_html(sweep(*(trial(f"t{n}", n / 100, learning_rate=n * 0.1) for n in range(12))))
    table = text[text.index("<table>") : text.index("</table>")]
    assert table.count("<tr>") == 11
    first = "".join(f"<td>{cell}</td>" for cell in ("t11", "finished", "0.1100", "0", "1", "1.5 s", "1.1"))
    assert f"<tr>{first}</tr>" in table
    assert "The best 10 of 12 trials with a score" in text
