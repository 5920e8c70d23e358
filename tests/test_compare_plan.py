"""The rows of a comparison, their cells, who is tested against whom, and how long it will take."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comparisons import entry, values
from model_contract import DATASETS
from recbole.utils import get_model

from recbole_mm.base.errors import InputError
from recbole_mm.commands.arguments.compare import parser
from recbole_mm.comparison.benchmark import Entry, Run
from recbole_mm.comparison.compare import compare
from recbole_mm.comparison.compare_progress import Progress
from recbole_mm.comparison.configured import configured_rows
from recbole_mm.comparison.differences import best_baseline, differences, entry_pairs
from recbole_mm.comparison.options import CompareOptions
from recbole_mm.comparison.planned_runs import PlannedRun, configure_row, planned_run
from recbole_mm.comparison.rows import PlannedRow, planned_rows
from recbole_mm.comparison.training import write_error
from recbole_mm.configuration.request import Request
from recbole_mm.settings.parameters import read_parameters

COMMON = Request(settings={"data_path": str(DATASETS), "use_gpu": False})


def test_rows_are_models_with_their_ablations_under_them() -> None:
    rows = planned_rows(["BPR", "SEA", "LightGCN"], [], ["SEA", "CCL4Rec"], None)
    assert [row.label for row in rows] == [
        "BPR",
        "SEA",
        "SEA without alignment",
        "SEA without distancing",
        "LightGCN",
        "CCL4Rec",
        "CCL4Rec without trust",
        "CCL4Rec without planted noise",
        "CCL4Rec without repeat bias",
        "CCL4Rec without transition",
        "CCL4Rec with item attention",
        "CCL4Rec with denoising pull",
        "CCL4Rec with pull and hard negatives",
        "CCL4Rec with all contrasts",
        "CCL4Rec with vanilla contrast",
        "CCL4Rec on ids only",
    ]
    assert [row.label for row in rows if row.baseline] == ["BPR", "LightGCN"]
    assert {row.ablation_of for row in rows} == {"", "SEA", "CCL4Rec"}
    assert [row.label for row in planned_rows(["BPR", "SEA"], [], [], "SEA") if row.baseline] == ["SEA"]


def test_settings_of_a_model_of_a_data_set_and_of_a_row_of_its_own(tmp_path: Path) -> None:
    for name, text in (("a", "alpha: 0.2"), ("b", "alpha: 0.3\ndataset: tiktok"), ("c", "model: MHCR\ncl_loss: 0.5")):
        (tmp_path / f"{name}.yaml").write_text(text)
    files = [f"MHCR={tmp_path}/a.yaml", f"MHCR={tmp_path}/b.yaml", f"MHCR, more contrast={tmp_path}/c.yaml"]
    whole, *ablations, other = planned_rows(["MHCR"], files, ["MHCR"], None)
    assert (other.label, other.model, other.baseline) == ("MHCR, more contrast", "MHCR", False)
    assert len(ablations) == 5
    config = {row.label: configure_row(row, "microvideo", COMMON)[1] for row in (whole, ablations[0], other)}
    assert (config["MHCR"]["alpha"], config["MHCR"]["cl_loss"]) == (0.2, 0.01)
    assert config["MHCR without hypergraph"]["alpha"] == 0
    assert config["MHCR, more contrast"]["cl_loss"] == 0.5
    own = configure_row(whole, "microvideo", COMMON)[0]
    assert own.config_files == (f"{tmp_path}/a.yaml",)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((["MHCR", "MHCR"], [], [], None), "--models names MHCR twice"),
        ((["MHCR"], [], ["SEA", "SEA"], None), "--ablations names SEA twice"),
        ((["MHCR"], [], [], "MHCR,MHCR"), "--baselines names MHCR twice"),
        ((["MHCRR"], [], [], None), "unknown model 'MHCRR'"),
        ((["BPR"], [], ["BPR"], None), "BPR declares none"),
        ((["MHCR"], [], [], "BPR"), "--baselines: BPR is not in the comparison"),
        ((["MHCR"], [], [], "MHCR, published"), "--baselines: published is not in the comparison"),
        ((["MHCR"], ["a.yaml"], [], None), "write NAME=FILE"),
        ((["MHCR"], ["SEA=nowhere.yaml"], [], None), "nowhere.yaml"),
    ],
)
def test_mistakes_in_rows(arguments: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        planned_rows(*arguments)


def test_a_file_is_of_its_model(tmp_path: Path) -> None:
    (tmp_path / "best.yaml").write_text("model: SEA\nureg: 0.1\n")
    (tmp_path / "none.yaml").write_text("ureg: 0.1\n")
    with pytest.raises(InputError, match=r"best.yaml is of SEA, not of MHCR"):
        planned_rows(["MHCR"], [f"MHCR={tmp_path}/best.yaml"], [], None)
    with pytest.raises(InputError, match=r"mine is not among the models, and .*none.yaml names no model"):
        planned_rows(["MHCR"], [f"mine={tmp_path}/none.yaml"], [], None)
    rows = planned_rows(["MHCR"], [f"SEA={tmp_path}/best.yaml"], [], None)
    assert [(row.label, row.model) for row in rows] == [("MHCR", "MHCR"), ("SEA", "SEA")]
    row = PlannedRow("MHCR", "MHCR", files=(f"{tmp_path}/none.yaml",))
    with pytest.raises(InputError, match=r"MHCR on microvideo: .*unknown setting 'ureg'"):
        configure_row(row, "microvideo", COMMON)


@pytest.mark.parametrize(
    ("given", "baselines"),
    [
        ("BPR, published", ["BPR, published"]),
        ("BPR, published,BPR", ["BPR", "BPR, published"]),
        (" Pop , BPR, published ,", ["Pop", "BPR, published"]),
        ("BPR,Pop", ["BPR", "Pop"]),
        ("", []),
    ],
)
def test_a_baseline_may_have_commas_in_its_name(given: str, baselines: list[str], tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("model: BPR\nembedding_size: 16\n")
    words = ["--models=BPR,Pop,SEA", f"--settings=BPR, published={tmp_path}/own.yaml", f"--baselines={given}"]
    options = parser().read(words).options
    rows = planned_rows(options.models, options.settings, options.ablations, options.baselines)
    assert [row.label for row in rows if row.baseline] == baselines


def test_a_file_of_no_dataset_of_the_comparison_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("model: BPR\ndataset: tiktok\n")
    rows = planned_rows(["Pop"], [f"BPR, published={tmp_path}/own.yaml"], [], None)
    with pytest.raises(InputError, match=r"own.yaml of BPR, published is for the dataset tiktok, .*: add tiktok there"):
        compare(rows, ["microvideo", "ml-100k"], COMMON, CompareOptions(), print, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_row_of_its_own_is_left_out_where_none_of_its_files_counts(tmp_path: Path) -> None:
    for dataset in ("tiktok", "microvideo"):
        (tmp_path / f"{dataset}.yaml").write_text(f"model: SASRec\ndataset: {dataset}\nhidden_size: 32\n")
    other, here = (f"{tmp_path}/{dataset}.yaml" for dataset in ("tiktok", "microvideo"))
    files = [f"A={other}", f"B={other}", f"B={here}", f"SASRec={other}"]
    said: list[str] = []
    planned = configured_rows(planned_rows([], files, [], None), "microvideo", COMMON, (), said.append)
    assert [row.label for row in planned.rows] == ["B", "SASRec"]
    assert {label: config["hidden_size"] for label, (_, config) in planned.asked.items()} == {"B": 32, "SASRec": 64}
    assert said[0].endswith("; without A, of which no file counts there")
    rows = planned_rows(["BPR"], files[:1], [], None)
    alone = configured_rows(rows, "microvideo", COMMON, (), said.append)
    assert alone.config["eval_args"]["split"] == {"RS": [0.8, 0.1, 0.1]}  # no sequential model stands beside BPR
    with pytest.raises(InputError, match="no row stands on microvideo"):
        configured_rows(rows[1:], "microvideo", COMMON, (), said.append)


def test_a_full_disk_leaves_no_empty_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, *_: Any, **__: Any) -> None:
        path.touch()
        raise OSError("No space left on device")

    planned = PlannedRun(PlannedRow("BPR", "BPR"), "microvideo", 2020, Request(), tmp_path / "run")
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        write_error(planned, "the training loss is nan")
    assert not list(planned.folder.iterdir())


@pytest.mark.parametrize("model", ["MHCR", "SEA", "CCL4Rec"])
def test_every_ablation_is_another_model(model: str) -> None:
    """Its settings are declared ones, within their ranges, and make another model than the defaults do."""
    declaration = get_model(model).parameter_class
    whole = read_parameters(declaration, {})
    assert get_model(model).ablations
    for name, changes in get_model(model).ablations.items():
        changed = read_parameters(declaration, changes)
        assert changed != whole, name


def folder_of(seed: int = 2020, data_hash: str = "x", threads: int = 1, **settings: Any) -> Path:
    common = Request(settings={**(COMMON.settings or {}), "epochs": 3, **settings})
    row = PlannedRow("SEA without alignment", "SEA", changes={"alpha_contrast": 0.0})
    asked = configure_row(row, "microvideo", common)
    cell = planned_run(row, asked, data_hash=data_hash, seed=seed, out=Path("/out"), threads=threads)
    assert (cell.request.settings or {})["alpha_contrast"] == 0
    assert (cell.request.settings or {})["seed"] == seed
    return cell.folder


def test_a_cell_is_another_where_what_it_trains_is_another(tmp_path: Path) -> None:
    first = folder_of()
    assert first.parent.name.startswith("SEA_without_alignment-")
    assert first == folder_of(threads=7) == folder_of(eval_memory=8) == folder_of(learning_rate=0.001)  # the default
    assert folder_of(seed=1).parent == first.parent
    others = {folder_of(data_hash="y"), folder_of(ureg=0.1), folder_of(topk="[5,10]")}
    assert len(others | {first}) == 4
    (tmp_path / "microvideo").symlink_to(DATASETS / "microvideo")
    assert folder_of(data_path=str(tmp_path)) == first


def with_valid(label: str, valid: float, *test: float, baseline: bool = True, ablation_of: str = "") -> Entry:
    return entry(label, values("ndcg@10", *test), ablation_of, baseline, valid={"ndcg@10": valid})


def test_validation_chooses_the_best_baseline_and_the_test_has_no_say() -> None:
    ours = with_valid("MHCR", 0.9, 0.9, 0.9, 0.9, baseline=False)
    low = with_valid("LightGCN", 0.2, 0.8, 0.8, 0.8)
    best = with_valid("BPR", 0.3, 0.1, 0.1, 0.1)
    failed = entry("NGCF", values("ndcg@10", 0.9, None, 0.9), baseline=True, valid={"ndcg@10": 0.9})
    assert best_baseline([ours, low, best, failed], "ndcg@10") is best
    assert best_baseline([ours], "ndcg@10") is ours
    assert best_baseline([], "ndcg@10") is None
    part = with_valid("MHCR without x", 0.1, 0.5, 0.5, 0.5, baseline=False, ablation_of="MHCR")

    def labels(*entries: Entry) -> list[tuple[str, str]]:
        return [(one.label, other.label) for one, other in entry_pairs(entries, "ndcg@10")]

    assert labels(ours, part, low, best, failed) == [("MHCR", "BPR"), ("MHCR without x", "MHCR")]
    assert labels(low, best) == [("LightGCN", "BPR")]
    assert labels(low) == []


def test_a_small_metric_is_better_where_it_should_be_small() -> None:
    few, many = (entry(name, values("rmse", *[0.5] * 3), baseline=True, valid={"rmse": value}) for name, value in
                 (("few", 0.2), ("many", 0.4)))  # fmt: skip
    assert best_baseline([few, many], "rmse") is few


def of_users(seed: int, users: str, scores: list[float]) -> Run:
    found = {"ndcg@10": np.array(scores)}
    mean = {"ndcg@10": float(np.mean(scores))}
    return Run(seed, valid={"ndcg@10": 0.5}, test=mean, users=np.array(list(users)), by_user=found)


def test_users_are_paired_by_their_ids_and_averaged_over_the_seeds() -> None:
    # Over users: a 0.5 - 0.2, b 0.4 - 0.1, c 0.1 - 0.2, and d, whom only the second seed tested, 1 - 0.
    ours = Entry("SEA", "", False, (of_users(1, "abc", [0.4, 0.3, 0.2]), of_users(2, "abcd", [0.6, 0.5, 0.0, 1.0])))
    other = Entry("BPR", "", True, (of_users(1, "abc", [0.2, 0.0, 0.4]), of_users(2, "abcd", [0.2, 0.2, 0.0, 0.0])))
    by_user, by_seed = differences([ours, other], "ndcg@10", ["ndcg@10"])
    assert (by_user.label, by_user.against, by_user.over, by_user.n) == ("SEA", "BPR", "users", 4)
    assert by_user.mean == pytest.approx((0.3 + 0.3 - 0.1 + 1.0) / 4)
    assert by_user.wilcoxon.p == 0.25  # ranks 2.5, 2.5, -1, 4: 1 or less on one side in 2 of 16 ways
    assert (by_seed.over, by_seed.n) == ("seeds", 2)
    assert by_seed.mean == pytest.approx((0.3 + 0.525) / 2 - (0.2 + 0.1) / 2)
    told = Entry("SEA", "", False, tuple(replace(run, test={"ndcg@10": 0.3}) for run in ours.runs))
    by_seed = differences([told, other], "ndcg@10", ["ndcg@10"])[1]
    assert by_seed.mean == pytest.approx(0.3 - (0.2 + 0.1) / 2)  # of what the table tells


def test_all_tests_over_users_on_a_data_set_are_one_family() -> None:
    rng = np.random.default_rng(0)

    def made(label: str, baseline: bool = False, ablation_of: str = "") -> Entry:
        return Entry(label, ablation_of, baseline, (of_users(1, "abcdefgh", rng.random(8).tolist()),))

    entries = [made("SEA"), made("MHCR"), made("BPR", baseline=True), made("SEA x", ablation_of="SEA")]
    tested = differences(entries, "ndcg@10", ["ndcg@10"])
    assert [(one.label, one.against) for one in tested] == [("SEA", "BPR"), ("MHCR", "BPR"), ("SEA x", "SEA")]
    smallest = min(tested, key=lambda one: one.t.p)
    assert smallest.t.p_holm == pytest.approx(min(1, 3 * smallest.t.p))
    assert all(one.t.p_holm >= smallest.t.p_holm for one in tested)


def test_the_time_left_goes_by_the_row_then_by_the_data_set() -> None:
    def cell(label: str, seed: int, dataset: str = "a") -> PlannedRun:
        return PlannedRun(PlannedRow(label, label), dataset, seed, Request(), Path())

    cells = [cell("BPR", 1), cell("SEA", 1), cell("BPR", 2), cell("SEA", 2), cell("NGCF", 1), cell("BPR", 1, "b")]
    progress = Progress(cells, 0)
    progress.ended(cells[0], 10, "")
    assert progress.time_left(10) == 10 * 5
    progress.ended(cells[1], 100, "")
    # BPR 10, SEA 100, NGCF as the mean of its dataset, and the other dataset as that of all; two side by side.
    assert progress.time_left(55) == (10 + 100 + 55 + 55) / 2
    progress.ended(cells[2], 0, "failed, which tells nothing")
    assert progress.time_left(55) == (100 + 55 + 55) / 2
    progress.close()
