"""The page of a comparison, and its plots, read back as a browser would."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from comparisons import FAILED, SEEDS, benchmark, difference, entry, run, values
from pages import Page, drawn

from recbole_mm.comparison import compare_plots
from recbole_mm.comparison.benchmark import Benchmark, Entry, Run
from recbole_mm.comparison.compare_page import comparison_html
from recbole_mm.comparison.group_tables import groups_csv, groups_markdown

EVIL = "<script>alert(1)</script>&%{x}"
VERSIONS = {"python": "3.11.9", "threads": 2}
PLOTS = ("metrics", "groups", "costs", "curves")


def group(name: str, degree: str, evaluated: int, ndcg: float | None) -> dict[str, Any]:
    metrics = {} if ndcg is None else {"ndcg@10": ndcg, "recall@10": 0.0}
    return {"group": name, "degree": degree, "evaluated": evaluated, "metrics": metrics}


def trained(seed: int, ndcg: float, **changed: Any) -> Run:
    history = [{"epoch": epoch, "valid_score": score} for epoch, score in enumerate((0.1, None, ndcg))]
    groups = {
        "users": [group("cold", "0", 0, None), group("few", "1-9", seed - 2000, ndcg)],
        "items": [group("0-4", "0-4", 7, ndcg / 2)],
    }
    return run(seed, {"ndcg@10": ndcg, "recall@10": 0.5}, history=history, groups=groups, **changed)


BPR = Entry("BPR", "", True, tuple(trained(seed, 0.2, seconds=1.0) for seed in SEEDS))
SLOW = {"seconds": 200.0, "n_parameters": 3000}
SEA = Entry("SEA", "", False, (trained(2020, 0.2, **SLOW), trained(2021, 0.3, **SLOW), trained(2022, 0.4, **SLOW)))
HALF = Entry("BM3", "", False, (trained(2020, 0.5), run(2021, None), trained(2022, 0.7)))
GONE = entry("MGCN", values("ndcg@10", None, None, None))
ALL = benchmark(
    BPR,
    SEA,
    HALF,
    GONE,
    metrics=("recall@10", "ndcg@10"),
    differences=(
        difference("SEA", 0.1, wilcoxon=0.000123),
        difference("SEA", 0.1, wilcoxon=0.25, t=0.5, over="seeds", n=3, n_different=2),
    ),
)


def written(*benchmarks: Benchmark, **changed: Any) -> str:
    given = {"title": "Comparison", "command": "recbole-mm compare", "environment": VERSIONS}
    return comparison_html(benchmarks=benchmarks, **{**given, **changed})


def test_the_page_needs_no_other_file() -> None:
    text = written(ALL)
    tags = Page(text)
    assert tags.addresses == []
    assert text.count("plotly.js v") == 1
    assert tags.tags.count("script") == 3 + len(PLOTS)
    assert "<title>Comparison</title>" in text
    places = [text.index(f"<h2>{heading}</h2>") for heading in
              ("ml-100k", "Without a result", "Figures: ml-100k", "Significance: ml-100k", "Command")]  # fmt: skip
    assert places == sorted(places)
    assert "<pre>recbole-mm compare</pre>" in text
    assert tags.rows[-2:] == [["python", "3.11.9"], ["threads", "2"]]


def test_the_table() -> None:
    text = written(ALL)
    assert Page(text).rows[:5] == [
        ["model", "Recall@10", "NDCG@10"],
        ["BPR", "0.5000 ± 0.0000", "0.2000 ± 0.0000"],
        ["SEA", "0.5000 ± 0.0000", "0.3000 ± 0.1000*"],
        ["BM3 (2 of 3 seeds)", "0.5000 ± 0.0000", "0.6000 ± 0.1414"],
        ["MGCN", "failed", "failed"],
    ]
    assert "<td><strong>0.3000 ± 0.1000</strong><sup>*</sup></td>" in text
    assert "<td><u>0.2000 ± 0.0000</u></td>" in text
    assert text.count("<strong>") == 3  # two share the best recall
    assert "Compared: SEA with LightGCN." in text


def test_what_failed() -> None:
    text = written(ALL)
    errors = f"<pre>{FAILED}</pre>".replace("<out of memory>", "&lt;out of memory&gt;")
    assert text.count(errors) == 4
    assert f'<span class="error">BM3</span> on ml-100k, seed 2021:{errors}' in text
    assert "Without a result" not in written(benchmark(BPR))


def test_significance() -> None:
    found = Page(written(ALL))
    header, users = (found.rows[place] for place in (5, 6))
    assert header[4:8] == ["users", "unequal", "Wilcoxon p", "Holm p"]
    assert users == [
        "SEA", "LightGCN", "NDCG@10", "+0.1000", "943", "900",
        "1.2e-05", "0.00012", "6.2e-05", "+0.250", "0.001", "0.01", "0.005", "+0.125",
    ]  # fmt: skip
    assert found.rows[8][4:] == ["3", "2", "0.025", "0.25", "0.12", "+0.250", "0.05", "0.5", "0.25", "+0.125"]


@pytest.mark.parametrize(("n", "smallest"), [(3, "with 3 its smallest p is 0.25"), (5, "0.0625"), (6, "")])
def test_few_seeds(n: int, smallest: str) -> None:
    text = written(benchmark(BPR, differences=(difference("BPR", 0.1, over="seeds", n=n),)))
    warned = "With fewer than 6 seeds the Wilcoxon test cannot reach p &lt; 0.05"
    assert (warned in text) == bool(smallest)
    assert smallest in text


def test_bars_of_metrics() -> None:
    traces, layout = drawn(compare_plots.metrics(ALL, compare_plots.styles([ALL])))
    assert [each["text"] for each in layout["annotations"]] == ["Recall@10", "NDCG@10"]
    recall, ndcg = traces
    assert ndcg["y"] == layout["yaxis"]["categoryarray"] == ["BPR", "SEA", "BM3"]
    assert ndcg["x"] == pytest.approx([0.2, 0.3, 0.6])
    assert ndcg["error_x"]["array"] == pytest.approx([0, 0.1, 0.5**0.5 / 5])
    assert ndcg["hovertext"][2] == "BM3 (2 of 3 seeds)<br>NDCG@10 0.6000 ± 0.1414"
    assert recall["marker"]["color"] == list(compare_plots.COLOURS[:3])


def test_one_seed_has_no_error_bars() -> None:
    one = benchmark(Entry("BPR", "", True, BPR.runs[:1]), seeds=(2020,))
    style = compare_plots.styles([one])
    assert drawn(compare_plots.metrics(one, style))[0][0]["error_x"]["array"] == [None]
    assert drawn(compare_plots.groups(one, style))[0][0]["error_y"]["array"] == [None]
    assert "Error bars" not in written(one)
    assert "Error bars" in written(ALL)


def test_groups_as_text() -> None:
    lines = groups_markdown([ALL]).splitlines()
    assert lines[2] == "| model | users: few, 1-9 | items: 0-4 |"
    assert lines[5] == "| SEA | 0.3000 ± 0.1000 | 0.1500 ± 0.0500 |"
    assert lines[6] == "| BM3 (2 of 3 seeds) | 0.6000 ± 0.1414 | 0.3000 ± 0.0707 |"
    assert lines[7] == "| MGCN | – | – |"
    assert lines[9].startswith("NDCG@10 of the test")
    rows = list(csv.DictReader(io.StringIO(groups_csv([ALL]), newline="")))
    (one,) = (row for row in rows if row["model"] == "SEA" and row["of"] == "users" and row["metric"] == "ndcg@10")
    assert float(one["mean"]) == pytest.approx(0.3)
    assert float(one["std"]) == pytest.approx(0.1)
    assert (one["group"], one["n_seeds"], one["evaluated"]) == ("few, 1-9", "3", "20 21 22")
    assert {row["model"] for row in rows} == {"BPR", "SEA", "BM3"}


def test_groups() -> None:
    traces, layout = drawn(compare_plots.groups(ALL, compare_plots.styles([ALL])))
    assert [each["name"] for each in traces] == ["BPR", "SEA", "BM3"] * 2
    users, items = traces[1], traces[4]
    assert users["x"] == ["few, 1-9"]  # no cold user was evaluated
    assert users["y"] == pytest.approx([0.3])
    assert users["error_y"]["array"] == pytest.approx([0.1])
    assert users["customdata"] == ["20, 21, 22"]
    assert (items["x"], items["customdata"]) == (["0-4"], ["7"])
    assert items["y"] == pytest.approx([0.15])
    assert "users evaluated" in users["hovertemplate"]
    assert [each["showlegend"] for each in traces] == [True] * 3 + [False] * 3
    assert [each["legendgroup"] for each in traces] == ["BPR", "SEA", "BM3"] * 2
    assert layout["yaxis"]["title"]["text"] == "NDCG@10"


def test_costs() -> None:
    traces, layout = drawn(compare_plots.costs(ALL, compare_plots.styles([ALL])))
    assert [each["text"] for each in traces] == [["BPR"], ["SEA"], ["BM3"]] * 2
    assert [each["x"] for each in traces] == [[1.0], [200.0], [10.0], [1000], [3000], [1000]]
    assert [each["y"][0] for each in traces] == pytest.approx([0.2, 0.3, 0.6] * 2)
    assert (layout["xaxis"]["type"], layout["xaxis2"]["type"]) == ("log", "linear")
    assert [each["textposition"] for each in traces[:3]] == ["top right", "top left", "bottom right"]
    assert traces[1]["error_y"]["array"] == pytest.approx([0.1])
    assert traces[1]["error_x"]["array"] == [0.0]


def test_learning_curves() -> None:
    traces, _ = drawn(compare_plots.learning_curves(ALL, compare_plots.styles([ALL])))
    assert [each["name"] for each in traces] == ["BPR"] * 3 + ["SEA"] * 3 + ["BM3"] * 2
    assert [each["legendgroup"] for each in traces] == [each["name"] for each in traces]
    assert [each["showlegend"] for each in traces] == [True, False, False] * 2 + [True, False]
    assert [(each["x"], each["y"]) for each in traces[3:6]] == [([0, 2], [0.1, last]) for last in (0.2, 0.3, 0.4)]
    assert {each["line"]["color"] for each in traces[3:6]} == {compare_plots.COLOURS[1]}
    assert "seed 2021" in traces[4]["hovertemplate"]


def test_an_entry_looks_alike_in_all_figures() -> None:
    other = benchmark(SEA, BPR, HALF, dataset="tiktok")
    style = compare_plots.styles([ALL, other])
    for one in (ALL, other):
        bars = drawn(compare_plots.metrics(one, style))[0][0]
        seen = set(zip(bars["y"], bars["marker"]["color"], strict=True))
        seen |= {(each["name"], each["marker"]["color"]) for each in drawn(compare_plots.groups(one, style))[0]}
        seen |= {(each["name"], each["marker"]["color"]) for each in drawn(compare_plots.costs(one, style))[0]}
        seen |= {(each["name"], each["line"]["color"]) for each in drawn(compare_plots.learning_curves(one, style))[0]}
        assert seen == {(label, compare_plots.COLOURS[place]) for place, label in enumerate(("BPR", "SEA", "BM3"))}


def test_many_entries_stay_apart() -> None:
    many = benchmark(*(entry(str(n), values("ndcg@10", 0.1)) for n in range(70)))
    style = list(compare_plots.styles([many]).values())
    assert len({each.colour for each in style[:14]}) == 14
    for kind in ("dash", "symbol", "pattern"):
        assert len({(each.colour, getattr(each, kind)) for each in style}) == 70


def test_everything_of_the_data_is_escaped() -> None:
    runs = (*(trained(seed, 0.2) for seed in SEEDS[:2]), run(2022, None, error=EVIL))
    bad = benchmark(
        Entry(EVIL, "", True, runs),
        dataset=EVIL,
        metrics=("ndcg@10", EVIL),
        differences=(difference(EVIL, 0.1, against=EVIL, metric=EVIL),),
    )
    text = written(bad, title=EVIL, command=EVIL, environment={EVIL: EVIL})
    tags = Page(text)
    assert "<script>alert" not in text
    assert tags.tags.count("script") == 3 + len(PLOTS)
    assert [f"{EVIL} (2 of 3 seeds)", EVIL] == [tags.rows[1][0], tags.rows[3][0]]
    style = compare_plots.styles([bad])
    for draw in (compare_plots.metrics, compare_plots.groups, compare_plots.costs, compare_plots.learning_curves):
        shown = json.dumps(drawn(draw(bad, style)))
        assert "<script>" not in shown
        assert "&lt;script&gt;" in shown
        assert all("alert" not in each.get("hovertemplate", "") for each in drawn(draw(bad, style))[0])


@pytest.mark.parametrize(
    ("benchmarks", "plots"),
    [
        ((), []),
        ((benchmark(),), []),
        ((benchmark(GONE),), []),
        ((benchmark(entry("BPR", values("ndcg@10", 0.1, 0.2))),), ["metrics-1", "costs-1"]),
        ((benchmark(entry("BPR", values("recall@10", 0.1)), metrics=("recall@10",)),), ["metrics-1"]),
        ((benchmark(GONE), ALL), [f"{name}-2" for name in PLOTS]),
    ],
)
def test_a_page_of_little(benchmarks: tuple[Benchmark, ...], plots: list[str]) -> None:
    text = written(*benchmarks)
    assert [f"{name}-{place}" for place in (1, 2) for name in PLOTS if f'id="{name}-{place}"' in text] == plots
    assert ("Figures: " in text) == bool(plots)
    assert ("Significance: " in text) == (ALL in benchmarks)
