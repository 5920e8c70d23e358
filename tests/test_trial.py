"""A trial of a sweep by itself: what it reports, how it goes on, on which devices, and that it has no test data."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import ray.tune
import scipy.sparse as sp
from model_contract import DATASETS
from recbole.data.interaction import Interaction
from recbole.utils import init_seed

from recbole_mm.base.errors import InputError
from recbole_mm.configuration.request import Request
from recbole_mm.configuration.valid_names import data_keys
from recbole_mm.parallel.devices import devices_of_trial
from recbole_mm.settings.space import Domain
from recbole_mm.training.build import load_dataset
from recbole_mm.training.run import run
from recbole_mm.tuning import trial
from recbole_mm.tuning.searching import SweepOptions
from recbole_mm.tuning.spec import SweepSpec, sweep_spec
from recbole_mm.tuning.sweep import load_shared

SMALL = {"data_path": str(DATASETS), "epochs": 2, "train_batch_size": 4096, "embedding_size": 8}
HISTORIES = {"MAX_ITEM_LIST_LENGTH": 5}
LEAVE_ONE_OUT = {"eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "full"}}
MODELS: dict[str, dict[str, Any]] = {
    "MHCR": {"hyper_num": 4},
    "SEA": {},
    "CCL4Rec": HISTORIES | LEAVE_ONE_OUT,
    "SASRec": HISTORIES | LEAVE_ONE_OUT | {"n_heads": 2, "hidden_size": 8},
    "LightGCN": {"n_layers": 1},
    "ItemKNN": {"k": 5},
    "RaCT": {"mlp_hidden_size": [8], "latent_dimension": 4},
}


def spec_of(model: str, every: int = 2, **settings: Any) -> SweepSpec:
    request = Request(model, "microvideo", settings=SMALL | MODELS[model] | settings)
    return sweep_spec(
        request, {"train_batch_size": Domain("choice", (2048, 4096))}, SweepOptions(checkpoint_every=every)
    )


class Session:
    """Stands in for Ray Tune's: keeps what a trial reports, and gives it a checkpoint to go on from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reports: list[dict[str, Any]] = []
        self.checkpoints: list[Any] = []
        self.checkpoint: Any = None

    def report(self, told: dict[str, Any], checkpoint: Any = None) -> None:
        self.reports.append(told)
        if checkpoint is not None:
            kept = self.folder / f"checkpoint_{len(self.checkpoints)}"
            shutil.copytree(checkpoint.path, kept)
            self.checkpoints.append(ray.tune.Checkpoint.from_directory(str(kept)))


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    found = Session(tmp_path)
    monkeypatch.setattr(ray.tune, "report", found.report)
    monkeypatch.setattr(ray.tune, "get_checkpoint", lambda: found.checkpoint)
    monkeypatch.setattr(ray, "get_gpu_ids", list)
    return found


@pytest.mark.parametrize("model", [name for name in MODELS if name != "RaCT"])
def test_a_trial_is_a_run_that_tells_of_every_epoch(model: str, session: Session) -> None:
    spec = spec_of(model)
    trial.train_trial({"train_batch_size": 2048}, spec, load_shared(spec))
    plain = run(Request(model, "microvideo", settings={**spec.settings, "train_batch_size": 2048}))
    *epochs, last = session.reports
    assert [(one["epoch"], one["score"], one["train_loss"]) for one in epochs] == [
        (one["epoch"] + 1, one["valid_score"], one["train_loss"]) for one in plain["history"]
    ]
    assert {name: last[f"valid_{name}"] for name in plain["valid"]} == dict(plain["history"][-1]["valid"])
    assert last == epochs[-1] | {"finished": True}
    assert not any(one["finished"] for one in epochs)


def test_a_trial_goes_on_from_its_checkpoint(session: Session) -> None:
    spec = spec_of("MHCR", epochs=5)
    shared = load_shared(spec)
    trial.train_trial({}, spec, shared)
    straight, session.reports = session.reports, []
    assert len(session.checkpoints) == 2
    session.checkpoint = session.checkpoints[0]
    trial.train_trial({}, spec, shared)

    def curve(reports: list[dict[str, Any]]) -> list[Any]:
        return [(one["epoch"], one["score"], one["train_loss"], one["finished"]) for one in reports]

    assert curve(session.reports) == curve(straight)[2:]
    session.reports = []
    (Path(session.checkpoint.path) / trial.REPORTED).write_text("1")  # the sweep was killed before it noted the second
    trial.train_trial({}, spec, shared)
    assert curve(session.reports) == curve(straight)[1:]
    session.reports = []
    shutil.rmtree(session.checkpoints[0].path)  # killed when Ray had deleted it and not yet noted the next
    trial.train_trial({}, spec, shared)
    assert curve(session.reports) == curve(straight)


def test_a_trial_on_another_machine_needs_no_files(session: Session) -> None:
    spec = spec_of("MHCR", epochs=1)
    shared = load_shared(spec)
    there = replace(spec, settings=spec.settings | {"data_path": "/nowhere"})
    for one in (spec, there):
        trial.train_trial({}, one, shared)
    here, elsewhere = (session.reports[place]["score"] for place in (0, 2))
    assert here == elsewhere


def test_epochs_without_validation_are_reported_with_the_next(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    histories: list[Any] = []
    build = trial.build_trainer

    def built(*arguments: Any) -> Any:
        trainer = build(*arguments)
        histories.append(trainer)
        return trainer

    monkeypatch.setattr(trial, "build_trainer", built)
    spec = spec_of("LightGCN", every=1, eval_step=2, epochs=5)
    shared = load_shared(spec)
    trial.train_trial({}, spec, shared)
    assert [(one["epoch"], one["finished"]) for one in session.reports] == [(2, False), (4, False), (4, True)]
    seconds = [one["seconds"] for one in histories[-1].history]
    each = [seconds[0] + seconds[1], seconds[2] + seconds[3]]
    assert [one["seconds"] for one in session.reports] == [*each, each[1]]

    session.reports, session.checkpoint = [], session.checkpoints[1]
    (Path(session.checkpoint.path) / trial.REPORTED).write_text("2")  # Ray did not note the second report
    trial.train_trial({}, spec, shared)
    assert [(one["epoch"], one["seconds"]) for one in session.reports] == [(4, each[1])] * 2


def test_a_training_without_any_validation_is_refused(session: Session) -> None:
    spec = spec_of("RaCT", train_stage="actor_pretrain", pretrain_epochs=1)
    with pytest.raises(InputError, match="RaCT was trained without a validation"):
        trial.train_trial({}, spec, load_shared(spec))
    with pytest.raises(InputError, match="eval_step is 0"):
        spec_of("LightGCN", eval_step=0)


def test_values_that_change_the_data_make_a_trial_load_its_own(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of("SASRec", epochs=1)
    shared, loaded = load_shared(spec), []
    prepare = trial.prepare
    monkeypatch.setattr(
        trial, "prepare", lambda config: loaded.append(config["MAX_ITEM_LIST_LENGTH"]) or prepare(config)
    )
    trial.train_trial({"learning_rate": 0.01}, spec, shared)
    assert loaded == []
    trial.train_trial({"MAX_ITEM_LIST_LENGTH": 3}, spec, shared)
    assert loaded == [3]
    assert {"seed", "eval_args", "modalities", "item_inter_num_interval", "load_col"} <= data_keys()
    assert not {"learning_rate", "embedding_size", "train_batch_size", "n_layers"} & data_keys()


@pytest.mark.parametrize(("gpus", "visible", "expected"), [([], "0,1", (False, "")), (["1"], "1", (True, "1"))])
def test_a_trial_keeps_the_devices_that_ray_gives(
    gpus: list[str], visible: str, expected: tuple[bool, str], session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "get_gpu_ids", lambda: gpus)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    spec = spec_of("LightGCN", gpu_id="0", use_gpu=True)
    load_shared(spec)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == visible  # what Ray is started with
    config = spec.config(devices_of_trial())
    assert (config["use_gpu"], config["gpu_id"]) == expected
    assert os.environ["CUDA_VISIBLE_DEVICES"] == expected[1]


def pairs(thing: Any, seen: set[int]) -> Iterator[set[tuple[int, int]]]:
    """Yield the pairs of user and item in every table and matrix that can be reached from an object."""
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, Interaction | pd.DataFrame):
        columns = thing.interaction if isinstance(thing, Interaction) else thing
        if "user_id" in columns and "item_id" in columns:
            yield set(zip(map(int, columns["user_id"]), map(int, columns["item_id"]), strict=True))
        if "item_id_list" in columns:
            rows = zip(columns["user_id"], columns["item_id_list"], strict=True)
            yield {(int(user), int(item)) for user, items in rows for item in items if item}
    elif sp.issparse(thing):
        yield set(zip(*map(list, thing.nonzero()), strict=True))
    inside: list[Any] = [*vars(thing).values()] if hasattr(thing, "__dict__") else []
    if isinstance(thing, dict):
        inside += thing.values()
    if isinstance(thing, list | tuple | set):
        inside += thing
    for part in inside:
        yield from pairs(part, seen)


@pytest.mark.parametrize("model", ["MHCR", "SASRec"])
def test_no_trial_sees_test_data(model: str) -> None:
    spec = spec_of(model)
    config = spec.config({})
    init_seed(config["seed"], config["reproducibility"])
    test = next(pairs(load_dataset(config).build()[2].inter_feat, set()))
    shared = load_shared(spec)
    loaders = shared.loaders(config)
    seen = [one for thing in (pickle.loads(pickle.dumps(shared)), loaders) for one in pairs(thing, set())]
    train = next(pairs(shared.train.inter_feat, set()))
    assert test
    assert any(train <= one for one in seen)  # what there is is found
    assert not any(test & one for one in seen)
    assert any(test & one for one in pairs(load_dataset(config), set()))  # it would be, too


def test_the_shared_data_are_those_of_a_run() -> None:
    spec = spec_of("SASRec")
    config = spec.config({})
    shared = load_shared(spec)
    train, valid = shared.loaders(config)
    before = [batch["item_id"].tolist() for batch in train]
    again, _ = shared.loaders(config)
    assert [batch["item_id"].tolist() for batch in again] == before  # a trial leaves them as they were
    assert len(valid._dataset) == len(shared.valid)
