"""How the rows of a comparison are tuned: which trials, what validation chooses, and what is written of it."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from model_contract import DATASETS

from recbole_mm.base.errors import InputError
from recbole_mm.comparison.benchmark import Tuning
from recbole_mm.comparison.configured import ConfiguredRows, configured_rows
from recbole_mm.comparison.rows import PlannedRow, planned_rows
from recbole_mm.comparison.searches import Search, planned_search
from recbole_mm.comparison.training import write_error
from recbole_mm.comparison.tuned import TunedRow, tuned_row, tuning_of, write_tuned
from recbole_mm.configuration.request import Request, build_config, check_command
from recbole_mm.configuration.valid_names import PLACE
from recbole_mm.recbole_bridge.models import register_model
from recbole_mm.settings.space_files import model_space
from recbole_mm.training.result_files import resolved_config
from recbole_mm.training.run import run

# isort: split
from recbole.model.general_recommender import BPR

SETTINGS = {"data_path": str(DATASETS), "use_gpu": False, "epochs": 2, "train_batch_size": "2048"}
COMMON = Request(settings=SETTINGS)
GIVEN = {"epochs": 2, "train_batch_size": 2048}  # by these, of no place
OWN = {"learning_rate": 0.001, "embedding_size": 64, "weight_decay": 0.0}  # what RecBole has for BPR


def quiet(_: str) -> None:
    """Take a line for the user."""


def configured(models: str, files: list[str] | None = None, controls: tuple[str, ...] = ()) -> ConfiguredRows:
    rows = planned_rows(models.split(","), files or [], ["SEA"] if "SEA" in models else [], None)
    return configured_rows(rows, "microvideo", COMMON, controls, quiet)


def search(rows: ConfiguredRows, n_trials: int, out: Path = Path("out"), row: int = 0) -> Search:
    return planned_search(rows, rows.rows[row], n_trials, out=out, threads=1)


@pytest.fixture(scope="module")
def bpr() -> ConfiguredRows:
    return configured("BPR")


def test_the_first_trial_has_the_row_s_own_settings_and_the_others_are_drawn(bpr: ConfiguredRows) -> None:
    first, *drawn = search(bpr, 4).trials
    assert (dict(first.values), dict(first.searched)) == ({}, OWN)
    domains = model_space(BPR) or {}
    assert len(drawn) == 3
    for trial in drawn:
        assert trial.values == trial.searched
        assert trial.values.keys() == OWN.keys()  # without the batch size, which the command gives
        low, high = domains["learning_rate"].values
        assert low <= trial.values["learning_rate"] <= high
        assert trial.values["weight_decay"] in domains["weight_decay"].values
        assert (trial.run.request.settings or {}).items() >= trial.values.items()
    assert [dict(trial.values) for trial in search(bpr, 3).trials] == [dict(t.values) for t in (first, *drawn[:2])]


def test_trials_are_runs_without_a_test_of_the_first_seed_each_in_a_folder_of_its_own(bpr: ConfiguredRows) -> None:
    runs = [trial.run for trial in search(bpr, 4).trials]
    assert [planned.trial for planned in runs] == [1, 2, 3, 4]
    assert {planned.seed for planned in runs} == {bpr.first_seed}
    assert not any(planned.request.tested for planned in runs)
    assert len({planned.folder for planned in runs}) == 4
    assert all(planned.folder.is_relative_to(Path("out/trials/microvideo")) for planned in runs)
    again = [trial.run.folder for trial in search(configured("BPR"), 4).trials]
    assert again == [planned.folder for planned in runs]
    other = replace(bpr, hashes={"BPR": "other data"})
    assert not {trial.run.folder for trial in search(other, 4).trials} & set(again)
    assert runs[1].title == "BPR on microvideo, trial 2"


def test_what_a_file_or_the_command_gives_is_not_searched(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("learning_rate: 0.002\nembedding_size: 32\n")
    (tmp_path / "all.yaml").write_text("learning_rate: 0.002\nembedding_size: 32\nweight_decay: 0.1\nmodel: BPR\n")
    rows = configured("BPR,Pop", [f"BPR={tmp_path}/mine.yaml", f"BPR, fixed={tmp_path}/all.yaml"])
    some, none, all_given = (search(rows, 20, tmp_path, row=place) for place in range(3))
    assert {tuple(trial.searched) for trial in some.trials} == {("weight_decay",)}
    assert len(some.trials) == 7  # the whole space
    assert (none.trials, none.reason) == ((), "no search space")
    assert (all_given.trials, all_given.reason) == ((), "all settings given")
    tuned = [ended(some, *[0.1] * 7), ended(none), ended(all_given)]
    assert tuning_of(rows, tuned, 20) == Tuning(
        20,
        {
            "BPR": "learning_rate and embedding_size given, its space has only 7",
            "Pop": "no search space, not tuned",
            "BPR, fixed": "all settings given, not tuned",
        },
        {"train_batch_size": 2048},
    )
    given = {"BPR": "settings given", "BPR, fixed": "settings given"}
    assert tuning_of(rows, [], 0) == Tuning(0, given, {"train_batch_size": 2048})


def test_the_caption_names_what_is_given_for_all_models(bpr: ConfiguredRows, tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text("embedding_size: 16\nlearning_rate: 1e-2\nmetrics: [NDCG]\nstopping_step: 3\n")
    settings = {**SETTINGS, "embedding_size": "8", "valid_metric": "NDCG@10", "seed": "1", "threads": "1"}
    told = tuning_of(replace(bpr, common=Request(config_files=[f"{tmp_path}/all.yaml"], settings=settings)), [], 0)
    assert told.for_all == {"embedding_size": 8, "learning_rate": 0.01, "train_batch_size": 2048}
    plain = {name: value for name, value in SETTINGS.items() if name != "train_batch_size"}
    assert tuning_of(replace(bpr, common=Request(settings=plain)), [], 0) == Tuning()


def test_a_row_s_own_file_wins_over_one_of_all_rows(tmp_path: Path) -> None:
    for name, rate in (("all", 0.01), ("mine", 0.02)):
        (tmp_path / f"{name}.yaml").write_text(f"learning_rate: {rate}\nembedding_size: 16\n")
    settings = {**SETTINGS, "embedding_size": "8"}
    common = Request(config_files=[f"{tmp_path}/all.yaml"], settings=settings)
    rows = configured_rows(planned_rows(["BPR"], [f"BPR={tmp_path}/mine.yaml"], [], None), "microvideo", common, (),
                           quiet)  # fmt: skip
    assert search(rows, 3, tmp_path).given == ("learning_rate",)  # the command line wins over both


class Declared(BPR):
    """A model of the user's, with a space of its own."""

    sweep_space: Any = None


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"epochs": {"choice": [1, 2]}}, "the search space of Declared has epochs, in which the trials of a comparison "
         "must be alike"),
        ({"seed": {"choice": [1, 2]}}, "has seed, in which the trials"),
        ({"topk": {"choice": [[1], [2]]}}, "has topk, in which the trials"),
        ({"learning_rat": {"choice": [1, 2]}}, "the search space of Declared: unknown setting 'learning_rat'"),
        ({"learning_rate": {"choice": [-1.0, -2.0]}}, "Declared on microvideo: learning_rate is -"),
    ],
)  # fmt: skip
def test_a_space_that_no_trial_could_use_is_one_line(
    space: Any, message: str, bpr: ConfiguredRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_model(Declared)
    monkeypatch.setattr(Declared, "sweep_space", space)
    rows = replace(bpr, rows=(PlannedRow("Declared", "Declared"),), asked={"Declared": bpr.asked["BPR"]},
                   hashes={"Declared": ""})  # fmt: skip
    with pytest.raises(InputError) as caught:
        search(rows, 4)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def ended(planned: Search, *scores: float | str | None) -> TunedRow:
    """Write how each trial has ended: with a score, with an error, or not at all."""
    for trial, score in zip(planned.trials, scores, strict=True):
        folder = trial.run.folder / "BPR-1"
        if isinstance(score, str):
            write_error(trial.run, score)
        if isinstance(score, float):
            result = {"status": "finished", "valid": {"mrr@10": score}, "history": [], "n_parameters": 1}
            folder.mkdir(parents=True)
            (folder / "result.json").write_text(json.dumps(result | {"best_epoch": 1, "epochs": 2, "seconds": 0.5}))
    return tuned_row(planned, {"valid_metric": "MRR@10"})  # type: ignore[arg-type]


def test_validation_chooses_the_earliest_among_equals(bpr: ConfiguredRows, tmp_path: Path) -> None:
    tuned = ended(search(bpr, 4, tmp_path), 0.1, 0.3, "Traceback\nthe training loss is nan", 0.3)
    assert tuned.best is tuned.tried[1]
    assert tuned.values == tuned.search.trials[1].values
    assert tuned.line == (
        "BPR on microvideo: trial 2 of 4 is the best by MRR@10 in validation, 0.3000; "
        "0.1000 in the first, with its own settings"
    )
    assert tuned.exception(4) == "1 of 4 trials failed"
    planned = bpr.planned(bpr.rows[0], tuned.values, seed=2021, out=tmp_path, threads=1)
    assert (planned.request.settings or {}).items() >= tuned.values.items()
    assert planned.request.tested
    assert planned.folder.parent.name == tuned.search.trials[1].run.folder.parent.name  # the same settings


def test_the_files_have_every_trial_and_the_chosen_settings(bpr: ConfiguredRows, tmp_path: Path) -> None:
    tuned = ended(search(bpr, 4, tmp_path), 0.1, 0.123456789, "Traceback\nthe training loss is nan", 0.05)
    write_tuned(tmp_path, tuned)
    with (tmp_path / "tuned" / "microvideo" / "BPR.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["trial"] for row in rows] == ["1", "2", "3", "4"]
    assert [row["status"] for row in rows] == ["finished", "finished", "failed", "finished"]
    assert [row["valid_mrr@10"] for row in rows] == ["0.1", "0.123456789", "", "0.05"]
    assert {name: float(rows[0][name]) for name in OWN} == OWN
    assert rows[2]["error"] == "Traceback the training loss is nan"
    text = (tmp_path / "tuned" / "microvideo" / "BPR.yaml").read_text(encoding="utf-8")
    assert text.startswith("# BPR: trial 2 of 4, seed 2020, MRR@10 0.1235 in validation\n")
    chosen = yaml.safe_load(text)
    assert chosen == {"model": "BPR", "dataset": "microvideo", **GIVEN, **tuned.search.trials[1].searched}
    assert planned_rows(["BPR"], [f"BPR={tmp_path}/tuned/microvideo/BPR.yaml"], [], None)[0].files


@pytest.mark.parametrize("scores", [(0.3, 0.1), (0.1, 0.3)])
@pytest.mark.parametrize("models", ["BPR", "BPR,SASRec"])
def test_the_chosen_settings_alone_give_the_chosen_trial(models: str, scores: Any, tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text("learner: sgd\nclip_grad_norm: {max_norm: 5}\nweight_decay: 0.1\nseed: 7\n")
    (tmp_path / "mine.yaml").write_text(
        "model: BPR\nembedding_size: 128\nweight_decay: 1e-4\n"
        "train_neg_sample_args: {distribution: popularity, sample_num: 2, alpha: 1.0, dynamic: false, candidate_num: 0}"
    )
    common = Request(config_files=[f"{tmp_path}/all.yaml"], settings={**SETTINGS, "topk": "[5, 10]"})
    planned = planned_rows(models.split(","), [f"BPR, wide={tmp_path}/mine.yaml"], [], None)
    rows = configured_rows(planned, "microvideo", common, (), quiet)
    tuned = ended(search(rows, 2, tmp_path, row=-1), *scores)
    write_tuned(tmp_path, tuned)
    (file,) = tmp_path.glob("tuned/microvideo/BPR_wide-*.yaml")
    alone = Request(config_files=[str(file)], settings={"data_path": str(DATASETS)})
    assert tuned.best is not None
    found, trial = (resolved(request) for request in (alone, tuned.best.trial.run.request))
    assert found == trial
    assert (found["embedding_size"], found["train_batch_size"], found["learner"]) == (128, 2048, "sgd")


def resolved(request: Request) -> dict[str, Any]:
    """Return all settings of a request but those of place and the seed."""
    config = resolved_config(build_config(request, *check_command(request)))
    return {name: value for name, value in config.items() if name not in PLACE | {"seed"}}


def test_rows_of_any_name_have_files_of_their_own(bpr: ConfiguredRows, tmp_path: Path) -> None:
    for label in ("BPR a", "BPR/a", "../BPR"):
        row = replace(bpr.rows[0], label=label)
        rows = replace(bpr, rows=(row,), asked={label: bpr.asked["BPR"]}, hashes={label: ""})
        write_tuned(tmp_path, ended(search(rows, 1, tmp_path / label.replace("/", "-")), 0.1))
    names = {file.relative_to(tmp_path / "tuned" / "microvideo").name for file in tmp_path.glob("tuned/microvideo/*")}
    assert len(names) == 6
    assert len(list(tmp_path.rglob("*.yaml"))) == 3


def test_nothing_is_chosen_before_all_have_ended(bpr: ConfiguredRows, tmp_path: Path) -> None:
    tuned = ended(search(bpr, 3, tmp_path), 0.1, None, None)
    write_tuned(tmp_path, tuned)
    assert [one.status for one in tuned.tried] == ["finished", "not trained yet", "not trained yet"]
    assert [file.name for file in (tmp_path / "tuned" / "microvideo").iterdir()] == ["BPR.csv"]


def test_a_row_of_which_no_trial_finished_keeps_its_settings(bpr: ConfiguredRows, tmp_path: Path) -> None:
    tuned = ended(search(bpr, 2, tmp_path), "no memory", "no memory")
    assert (tuned.best, tuned.values) == (None, {})
    assert tuned.exception(2) == "no trial finished, not tuned"
    write_tuned(tmp_path, tuned)
    assert [file.name for file in (tmp_path / "tuned" / "microvideo").iterdir()] == ["BPR.csv"]


def test_variants_take_the_tuned_settings_and_their_own_change(tmp_path: Path) -> None:
    rows = configured("SEA", controls=("shuffled",))
    values = {"ureg": 0.5, "alpha_contrast": 0.25}
    found = {row.label: rows.planned(row, values, seed=1, out=tmp_path, threads=1).request.settings or {}
             for row in rows.rows}  # fmt: skip
    told = {label: [each.get(key) for key in ("ureg", "alpha_contrast", "shuffle_features")]
            for label, each in found.items()}  # fmt: skip
    assert told == {
        "SEA": [0.5, 0.25, None],
        "SEA, shuffled features": [0.5, 0.25, 1],
        "SEA without alignment": [0.5, 0.0, None],
        "SEA without distancing": [0.0, 0.25, None],
    }
    assert rows.hashes["SEA, shuffled features"] != rows.hashes["SEA"] == rows.hashes["SEA without alignment"]


def test_a_run_without_a_test_has_no_test_metric(tmp_path: Path) -> None:
    settings = {**SETTINGS, "checkpoint_dir": str(tmp_path / "runs"), "embedding_size": 8}
    result = run(Request("BPR", "microvideo", settings=settings, tested=False))
    assert result["status"] == "finished"
    assert result["valid"]["mrr@10"] > 0
    assert not [key for key in result if "test" in key or key == "held_out"]
    assert [file.name for file in Path(result["folder"]).iterdir()] == ["result.json"]
    tested = run(Request("BPR", "microvideo", settings=settings))
    assert tested["valid"] == result["valid"]
    assert tested["test"]["mrr@10"] > 0
