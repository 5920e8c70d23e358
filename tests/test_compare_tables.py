"""The tables of a comparison: Markdown, LaTeX and CSV, letter by letter."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from comparisons import benchmark, difference, entry, run, values

from recbole_mm.base.metrics import sign, spelled
from recbole_mm.comparison.benchmark import NOT_TRAINED, Benchmark, Entry, Tuning
from recbole_mm.comparison.cells import BEST, SECOND, TableCell, caption, mark, ordered, table_rows, text
from recbole_mm.comparison.text_tables import csv_text, differences_csv, escape_latex, escape_markdown, latex, markdown

EVIL = r"a_b%c&d#e$f{g}h~i^j\k|l<m>[n]*`"


def both(*pairs: tuple[float, float] | None) -> list[dict[str, float] | None]:
    return [pair and {"ndcg@10": pair[0], "averagepopularity@10": pair[1]} for pair in pairs]


ONE = benchmark(
    entry("LightGCN", both((0.1, 5.0), (0.2, 5.0), (0.3, 5.0)), baseline=True),
    entry("SEA w/o alignment", both((0.1, 9.0), (0.1, 9.0), (0.1, 9.0)), ablation_of="SEA"),
    entry("FREEDOM", both((0.9, 1.0), None, (0.8, 2.0))),
    entry("SEA", both((0.31, 7.0), (0.32, 7.0), (0.33, 7.0))),
    entry("BM3", both(None, None, None)),
    metrics=("ndcg@10", "averagepopularity@10"),
    differences=(
        difference("SEA", 0.12),
        difference("SEA", 2.0, metric="averagepopularity@10"),
        difference("SEA w/o alignment", -0.22, against="SEA"),
        difference("SEA w/o alignment", 2.0, wilcoxon=0.05, metric="averagepopularity@10", against="SEA"),
        difference("FREEDOM", -0.1, over="seeds", n=3),
    ),
)
CAPTION = (
    "Test on ml-100k: mean ± standard deviation over the seeds 2020, 2021, 2022. Every run is tested at its best "
    "epoch by NDCG@10 in validation. Every model is trained with default settings. Best bold, second underlined. "
    "Without all seeds an entry is not ranked. * is significantly better and † significantly worse than what it is "
    "compared with: paired Wilcoxon signed-rank test and t-test over users, each averaged over the seeds, two-sided, "
    "both p < 0.05 after Holm's correction for all 4 comparisons over users on this dataset. Compared: SEA with "
    "LightGCN, the best baseline by NDCG@10 in validation; SEA w/o alignment with SEA."
)


def test_caption() -> None:
    assert caption(ONE) == CAPTION


def settings_told(tuning: Tuning, *entries: Entry) -> str:
    """Return what the caption says between the choice of the epoch and the marks."""
    found = caption(benchmark(*(entries or (entry("BPR", values("ndcg@10", 0.5)),)), tuning=tuning))
    return found.partition("in validation. ")[2].partition(" Best bold")[0]


def test_the_caption_says_how_settings_were_found() -> None:
    assert settings_told(Tuning()) == "Every model is trained with default settings."
    assert settings_told(Tuning(0, {"MHCR": "settings given"})) == (
        "Every model is trained with default settings, but for MHCR (settings given)."
    )
    assert settings_told(Tuning(1)) == "Every model is tuned by 1 trial each on validation."
    exceptions = {"Pop": "no search space, not tuned", "SEA, mine": "2 of 8 trials failed"}
    assert settings_told(Tuning(8, exceptions)) == (
        "Every model is tuned by 8 trials each on validation, but for Pop (no search space, not tuned); 'SEA, mine' "
        "(2 of 8 trials failed)."
    )
    two = entry("SEA", values("ndcg@10", 0.5)), entry("SEA x", values("ndcg@10", 0.5), ablation_of="SEA")
    assert settings_told(Tuning(8), *two) == (
        "Every model is tuned by 8 trials each on validation. A variant has the tuned settings of its model, and its "
        "own change."
    )


def test_the_caption_claims_no_default_of_what_is_given_for_all() -> None:
    two = {"embedding_size": 8, "learning_rate": 0.05}
    assert settings_told(Tuning(0, {"MHCR": "settings given"}, two)) == (
        "Every model is trained with embedding_size 8 and learning_rate 0.05 for all, and default settings otherwise, "
        "but for MHCR (settings given)."
    )
    assert settings_told(Tuning(0, {}, two | {"clip_grad_norm": {"max_norm": 5}})) == (
        "Every model is trained with embedding_size 8, learning_rate 0.05 and clip_grad_norm {'max_norm': 5} for all, "
        "and default settings otherwise."
    )
    assert settings_told(Tuning(8, {"Pop": "no search space, not tuned"}, {"embedding_size": 8})) == (
        "Every model is tuned by 8 trials each on validation, with embedding_size 8 for all, but for Pop (no search "
        "space, not tuned)."
    )


def test_a_control_of_the_best_baseline_stands_beside_what_is_compared_with_it() -> None:
    found = benchmark(
        entry("VBPR", values("ndcg@10", 0.5), baseline=True),
        entry("VBPR, shuffled features", values("ndcg@10", 0.4), ablation_of="VBPR"),
        entry("SEA", values("ndcg@10", 0.6)),
        entry("SEA, shuffled features", values("ndcg@10", 0.6), ablation_of="SEA"),
        differences=(
            difference("SEA", 0.1, against="VBPR"),
            difference("VBPR, shuffled features", -0.1, against="VBPR"),
            difference("SEA, shuffled features", -0.1, against="SEA"),
        ),
    )
    assert caption(found).endswith(
        "Compared: SEA, 'VBPR, shuffled features' with VBPR, the best baseline by NDCG@10 in validation; "
        "'SEA, shuffled features' with SEA."
    )


def test_markdown() -> None:
    told = CAPTION.replace("*", r"\*").replace("<", r"\<")
    assert markdown([ONE]) == (
        "### ml-100k\n\n"
        "| model | NDCG@10 | AveragePopularity@10 |\n"
        "| --- | --- | --- |\n"
        "| LightGCN | <u>0.2000 ± 0.1000</u> | **5.0000 ± 0.0000** |\n"
        "| FREEDOM (2 of 3 seeds) | 0.8500 ± 0.0707 | 1.5000 ± 0.7071 |\n"
        "| SEA | **0.3200 ± 0.0100**\\* | <u>7.0000 ± 0.0000</u>† |\n"
        "| SEA w/o alignment | 0.1000 ± 0.0000† | 9.0000 ± 0.0000 |\n"
        "| BM3 | failed | failed |\n\n"
        f"{told}\n"
    )


def test_latex() -> None:
    told = CAPTION.replace("±", r"$\pm$").replace("*", "{*}").replace("†", r"$\dagger$").replace("<", r"\textless{}")
    assert latex([ONE]) == (
        "\\begin{table}\n\\centering\n"
        f"\\caption{{{told}}}\n"
        "\\label{tab:ml-100k}\n"
        "\\begin{tabular}{lcc}\n"
        "\\toprule\n"
        "Model & NDCG@10 & AveragePopularity@10 \\\\\n"
        "\\midrule\n"
        "LightGCN & \\underline{0.2000 $\\pm$ 0.1000} & \\textbf{5.0000 $\\pm$ 0.0000} \\\\\n"
        "FREEDOM (2 of 3 seeds) & 0.8500 $\\pm$ 0.0707 & 1.5000 $\\pm$ 0.7071 \\\\\n"
        "SEA & \\textbf{0.3200 $\\pm$ 0.0100}$^{*}$ & \\underline{7.0000 $\\pm$ 0.0000}$^{\\dagger}$ \\\\\n"
        "SEA w/o alignment & 0.1000 $\\pm$ 0.0000$^{\\dagger}$ & 9.0000 $\\pm$ 0.0000 \\\\\n"
        "BM3 & failed & failed \\\\\n"
        "\\bottomrule\n\\end{tabular}\n\\end{table}\n"
    )


def test_one_seed() -> None:
    found = benchmark(entry("BPR", values("ndcg@10", 0.12344)), entry("MHCR", values("ndcg@10", 0.12346)), seeds=(7,))
    assert markdown([found]) == (
        "### ml-100k\n\n| model | NDCG@10 |\n| --- | --- |\n| BPR | <u>0.1234</u> |\n| MHCR | **0.1235** |\n\n"
        "Test on ml-100k: one run with the seed 7. Every run is tested at its best epoch by NDCG@10 in validation. "
        "Every model is trained with default settings. Best bold, second underlined.\n"
    )


def test_a_table_a_data_set() -> None:
    two = [ONE, benchmark(entry("BPR", values("ndcg@10", 0.5)), dataset="tik_tok & co")]
    assert markdown(two) == "\n".join(markdown([each]) for each in two)
    assert latex(two) == "\n".join(latex([each]) for each in two)
    assert r"\label{tab:tik-tok-co}" in latex(two)
    assert r"Test on tik\_tok \& co: " in latex(two)
    assert "### tik\\_tok \\& co\n" in markdown(two)


def test_text_is_escaped() -> None:
    assert escape_latex(EVIL) == (
        r"a\_b\%c\&d\#e\$f\{g\}h\textasciitilde{}i\textasciicircum{}j\textbackslash{}k\textbar{}l\textless{}m"
        r"\textgreater{}{[}n]{*}`"
    )
    assert escape_markdown(EVIL) == r"a\_b%c\&d\#e\$f{g}h\~i^j\\k\|l\<m\>\[n\]\*\`"
    assert escape_latex("two\n lines") == escape_markdown("two\n lines") == "two lines"
    found = benchmark(entry(EVIL, values("x_y@10", 0.5)), dataset=EVIL, metrics=("x_y@10",))
    assert f"\n{escape_latex(EVIL)} & \\textbf{{0.5000}} \\\\\n" in latex([found])
    assert f"\n| {escape_markdown(EVIL)} | **0.5000** |\n" in markdown([found])
    assert "_b" not in latex([found]).replace(r"\_b", "")
    assert r"Model & x\_y@10 \\" in latex([found])


@pytest.mark.parametrize(
    ("means", "places"),
    [
        ((0.1, 0.3, 0.2), [0, BEST, SECOND]),
        ((0.3, 0.3, 0.2, 0.2, 0.1), [BEST, BEST, SECOND, SECOND, 0]),
        ((0.20001, 0.20002), [SECOND, BEST]),  # alike in four decimals
        ((0.2,), [BEST]),
        ((), []),
    ],
)
def test_places(means: tuple[float, ...], places: list[int]) -> None:
    entries = [entry(str(place), values("ndcg@10", mean)) for place, mean in enumerate(means)]
    assert [row.cells[0].rank for row in table_rows(benchmark(*entries))] == places


def test_a_small_value_may_be_better() -> None:
    entries = (entry("a", values("rmse", 0.1)), entry("b", values("rmse", 0.2)), entry("c", values("rmse", 0.3)))
    found = table_rows(benchmark(*entries, metrics=("rmse",)))
    assert [row.cells[0].rank for row in found] == [BEST, SECOND, 0]
    assert [sign(metric) for metric in ("ndcg@10", "RMSE", "GiniIndex@5")] == [1, -1, -1]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"mean": 0.1}, "*"),
        ({"mean": -0.1}, "†"),
        ({"mean": 0.1, "metric": "rmse"}, "†"),
        ({"mean": -0.1, "metric": "rmse"}, "*"),
        ({"mean": 0.0}, ""),
        ({"mean": 0.1, "wilcoxon": 0.05}, ""),
        ({"mean": 0.1, "t": 0.05}, ""),
        ({"mean": 0.1, "wilcoxon": 0.049, "t": 0.049}, "*"),
    ],
)
def test_marks(changed: dict[str, Any], expected: str) -> None:
    assert mark(difference("SEA", **changed)) == expected


def test_only_tests_over_users_mark() -> None:
    one = entry("SEA", values("ndcg@10", 0.2))
    by_seeds, by_users = difference("SEA", -0.1, over="seeds"), difference("SEA", 0.1)
    assert table_rows(benchmark(one, differences=(by_seeds,)))[0].cells == (TableCell("0.2000", BEST),)
    assert table_rows(benchmark(one, differences=(by_users, by_seeds)))[0].cells == (TableCell("0.2000", BEST, "*"),)


def test_ablations_stand_under_their_model() -> None:
    entries = [
        Entry(label, of, False, ())
        for label, of in (("a-2", "a"), ("x-1", "x"), ("b", ""), ("a-1", "a"), ("a", ""), ("b-1", "b"))
    ]
    assert [one.label for one in ordered(benchmark(*entries))] == ["b", "b-1", "a", "a-2", "a-1", "x-1"]


def test_a_metric_that_no_run_has() -> None:
    assert text(entry("a", values("ndcg@10", 0.1)), "recall@10") == "–"
    assert text(entry("a", values("ndcg@10", None)), "ndcg@10") == "failed"
    assert text(entry("a", values("ndcg@10", None, None), error=NOT_TRAINED), "ndcg@10") == "–"


def test_the_usual_spelling() -> None:
    lower = ("recall@10", "ndcg@20", "mrr@10", "hit@10", "precision@10", "gauc", "itemcoverage@5", "mine@5")
    usual = ["Recall@10", "NDCG@20", "MRR@10", "Hit@10", "Precision@10", "GAUC", "ItemCoverage@5", "mine@5"]
    assert list(map(spelled, lower)) == usual
    assert list(map(spelled, usual)) == usual


def test_csv() -> None:
    entries = (entry("a, b", values("ndcg@10", 0.1, None, 0.3)), entry("c", values("ndcg@10", None, None, None)))
    other = Entry("d", "", False, (run(7, {"ndcg@10": 1 / 3, "mrr@10": 0.25}, valid={"ndcg@10": 0.5, "mrr@10": 0.1}),))
    found = [benchmark(*entries), benchmark(other, dataset="tiktok", seeds=(7,))]
    assert csv_text(found) == (
        "dataset,model,split,metric,mean,std,n_seeds,seed_2020,seed_2021,seed_2022,seed_7\n"
        'ml-100k,"a, b",valid,ndcg@10,0.5,0.0,2,0.5,,0.5,\n'
        'ml-100k,"a, b",test,ndcg@10,0.2,0.1414213562373095,2,0.1,,0.3,\n'
        "ml-100k,c,valid,ndcg@10,,,0,,,,\n"
        "ml-100k,c,test,ndcg@10,,,0,,,,\n"
        "tiktok,d,valid,ndcg@10,0.5,,1,,,,0.5\n"
        "tiktok,d,valid,mrr@10,0.1,,1,,,,0.1\n"
        "tiktok,d,test,ndcg@10,0.3333333333333333,,1,,,,0.3333333333333333\n"
        "tiktok,d,test,mrr@10,0.25,,1,,,,0.25\n"
    )


def test_differences_csv() -> None:
    found = benchmark(differences=(difference("SEA", 1 / 3, t=0.02), difference("b", -0.5, over="seeds", n=3)))
    first, second = csv.DictReader(io.StringIO(differences_csv([found]), newline=""))
    assert first == {
        "dataset": "ml-100k", "model": "SEA", "against": "LightGCN", "metric": "ndcg@10", "over": "users", "n": "943",
        "n_different": "900", "mean": "0.3333333333333333", "wilcoxon_p": "0.001", "wilcoxon_p_holm": "0.01",
        "wilcoxon_q": "0.005", "rank_biserial": "0.25", "t_p": "0.002", "t_p_holm": "0.02", "t_q": "0.01",
        "cohens_d": "0.125",
    }  # fmt: skip
    assert (second["over"], second["n"], second["mean"]) == ("seeds", "3", "-0.5")


@pytest.mark.parametrize("found", [[], [benchmark()]])
def test_nothing_to_tell(found: list[Benchmark]) -> None:
    assert differences_csv(found).count("\n") == 1
    assert "failed" not in markdown(found) + latex(found)
