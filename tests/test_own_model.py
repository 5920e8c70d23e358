"""A model outside the pack, which is the one of docs/own_model.md as it stands there, in every command."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import recbole.data.dataset
import recbole.trainer
from model_contract import DATASETS, ModelContract
from new_process import python
from recbole.config import Config
from recbole.data import create_dataset
from recbole.model.general_recommender import BPR
from recbole.quick_start import run_recbole
from recbole.trainer import Trainer
from recbole.utils import get_model

import recbole_mm
from recbole_mm.base.errors import InputError
from recbole_mm.commands import cli
from recbole_mm.data.dataset import MultimodalDataset, MultimodalSequentialDataset
from recbole_mm.recbole_bridge.model_sources import load_model
from recbole_mm.recbole_bridge.models import Place, is_proposed, registered, source_of

pytestmark = pytest.mark.slow  # left out by `make quick`


ROOT = DATASETS.parent
PAGE = (ROOT / "docs" / "own_model.md").read_text(encoding="utf-8")
(CODE,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
DATA = ["--dataset=microvideo", f"--data_path={DATASETS}", "--show_progress=False", "--epochs=1"]
SMALL = {"data_path": str(DATASETS), "show_progress": False, "epochs": 1, "state": "ERROR"}


@pytest.fixture(autouse=True)
def unregistered() -> Iterator[None]:
    """Forget the models of a test after it."""
    before = set(sys.modules)
    yield
    for name, place in list(sys.modules.items()):
        if isinstance(place, Place) and name not in before:
            del sys.modules[name]
            for module, kind in ((recbole.data.dataset, "Dataset"), (recbole.trainer, "Trainer")):
                vars(module).pop(place.model.__name__ + kind, None)


@pytest.fixture
def mine(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(CODE, encoding="utf-8")
    return "mine.py:MyModel"


def in_new_process(*words: str, path: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return python(*words, env=os.environ | {"PYTHONPATH": str(path)}, plugged_in=True)


def message(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main(arguments) == 2
    return capsys.readouterr().err.strip().removeprefix("error: ")


def test_the_model_has_forty_lines() -> None:
    assert len([line for line in CODE.splitlines() if line.strip()]) <= 40


class TestContract(ModelContract):
    """What every model of the pack promises, it promises."""

    model = "Documented"
    divided = False

    @classmethod
    def built(cls, **changes: Any) -> Any:
        if registered(cls.model) is None:
            Path("documented.py").write_text(CODE.replace("MyModel", cls.model), encoding="utf-8")
            load_model(f"documented.py:{cls.model}")
        return super().built(**changes)

    @pytest.mark.skip(reason="in test_run")
    def test_recboles_own_functions_need_one_import(self) -> None: ...  # type: ignore[override]


LOAD = """
import sys
import recbole_mm
from recbole.quick_start import load_data_and_model
config, model, *_ = load_data_and_model(sys.argv.pop())
print(type(model).__name__, config["model_source"], config["feature_weight"])
"""


def test_run(mine: str, tmp_path: Path) -> None:
    assert cli.main(["run", f"--model={mine}", *DATA, "--feature_weight=0.5"]) == 0
    (checkpoint,) = tmp_path.rglob("*.pth")
    loaded = in_new_process("-c", LOAD, str(checkpoint))
    assert loaded.stdout.splitlines()[-1] == f"MyModel {tmp_path}/mine.py:MyModel 0.5", loaded.stderr[-2000:]
    resumed = in_new_process("-m", "recbole_mm", "run", f"--resume={checkpoint}", "--epochs=2")
    assert resumed.returncode == 0, resumed.stderr[-2000:]

    (tmp_path / "mine.py").rename(tmp_path / "moved.py")
    refused = in_new_process("-m", "recbole_mm", "run", f"--resume={checkpoint}", "--epochs=3")
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1] == (
        f"error: the model MyModel was in {tmp_path}/mine.py, which is not there: put the file back, give its new "
        "place as --model=FILE:MyModel, or call recbole_mm.register_model(MyModel) first"
    )
    moved = [f"--resume={checkpoint}", f"--model={tmp_path}/moved.py:MyModel", "--epochs=3"]
    assert in_new_process("-m", "recbole_mm", "run", *moved).returncode == 0


def test_inspect(mine: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["inspect", "microvideo", f"--model={mine}", f"--data_path={DATASETS}"]) == 0
    assert "0 errors, 1 warning: training would start." in capsys.readouterr().out


def test_compare(mine: str, tmp_path: Path) -> None:
    models = [f"--models={mine},BPR", f"--ablations={mine}", "--seeds=1", "--out=out"]
    data = ["--datasets=microvideo", *DATA[1:]]
    assert cli.main(["compare", *models, *data, "--jobs=2"]) == 0
    trained = json.loads((tmp_path / "out" / "result.json").read_text())["runs"]
    found = {one["row"]: (one["baseline"], one["error"]) for one in trained}
    assert found == {"MyModel": (False, ""), "MyModel without features": (False, ""), "BPR": (True, "")}
    before = {file.parents[2].name for file in (tmp_path / "out" / "runs").rglob("result.json")}
    (tmp_path / "mine.py").write_text(CODE + "\n# edited\n", encoding="utf-8")
    assert cli.main(["compare", *models, *data]) == 0
    now = {file.parents[2].name for file in (tmp_path / "out" / "runs").rglob("result.json")}
    assert len(before) == 3
    assert len(now - before) == 2  # the edited model's


def test_tune(mine: str, tmp_path: Path) -> None:
    sweep = ["--num-samples=1", "--storage=sweeps", "--name=one", "--embedding_size=8"]
    tuned = in_new_process("-m", "recbole_mm", "tune", f"--model={mine}", *DATA, *sweep)
    assert tuned.returncode == 0, tuned.stderr[-2000:]
    with (tmp_path / "sweeps" / "one" / "trials.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["status"] for row in rows] == ["finished"]
    assert {"reg_weight", "n_layers"} <= set(rows[0])
    best = [f"--config_files={tmp_path}/sweeps/one/best.yaml"]
    assert in_new_process("-m", "recbole_mm", "run", *best).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--model=mine.py:MyModl",), "mine.py:MyModl: mine.py has no class MyModl. Did you mean 'MyModel'?"),
        (("--model=gone.py:MyModel",), "gone.py:MyModel: there is no file {folder}/gone.py; write "),
        (("--model=gone.it:MyModel",), "gone.it:MyModel: there is no module gone: install it, put its folder on "),
        (("--model=:MyModel",), "':MyModel' does not name a model: write --model=path/to/mine.py:MyModel or "),
        (("--model=mine.py:MyParameters",), "{folder}/mine.py:MyParameters: not a recommender of RecBole: "),
        (("--model=mine.py:MyModel", "--feature_wait=1"), "command line: unknown setting 'feature_wait' for RecBole"),
        (("--model=mine.py:MyModel", "--n_layers=-1"), "the configuration: n_layers must be at least 0, not -1"),
        (("--model=bad.py:MyModel",), "bad.py:MyModel, line 2: cannot be imported: ZeroDivisionError: "),
        (("--model=syntax.py:MyModel",), "syntax.py:MyModel, line 1: cannot be imported: SyntaxError: "),
        (("--model=taken.py:Bpr",), "{folder}/taken.py:Bpr: RecBole or the pack has a model Bpr: rename the class"),
    ],
)
def test_mistakes(
    mine: str, tmp_path: Path, arguments: tuple[str, ...], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.py").write_text("\n1 / 0\n")
    (tmp_path / "syntax.py").write_text("class MyModel(\n")
    (tmp_path / "taken.py").write_text(CODE.replace("class MyModel", "class Bpr"))
    said = message("run", *arguments, *DATA, capsys=capsys).splitlines()[-1].removeprefix("error: ")
    assert said.startswith(expected.format(folder=tmp_path))


def test_two_models_of_one_name(mine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other.py").write_text(CODE)
    said = message("compare", f"--models={mine},other.py:MyModel", capsys=capsys)
    assert said == (
        f"{tmp_path}/other.py:MyModel: there is another model MyModel, of {tmp_path}/mine.py:MyModel: rename the class"
    )


def test_a_file_that_has_changed_is_read_again(mine: str, tmp_path: Path) -> None:
    first = load_model(mine)
    assert load_model(mine) is first
    (tmp_path / "mine.py").write_text(CODE.replace("2, ", "3, "))  # within the second, of the same length
    assert load_model(mine) is get_model("MyModel") is not first
    assert Config("MyModel", "microvideo", config_dict=dict(SMALL))["n_layers"] == 3


def test_a_module(tmp_path: Path) -> None:
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "own_module_of_a_test.py").write_text(CODE)
    command = ["-m", "recbole_mm", "run", "--model=own_module_of_a_test:MyModel", *DATA]
    ran = in_new_process(*command, path=tmp_path / "beside")
    assert ran.returncode == 0, ran.stderr[-2000:]
    (checkpoint,) = tmp_path.rglob("*.pth")
    loaded = in_new_process("-c", LOAD, str(checkpoint), path=tmp_path / "beside")
    assert loaded.stdout.splitlines()[-1] == "MyModel own_module_of_a_test:MyModel 1.0", loaded.stderr[-2000:]


def test_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "packaged_by_a_test.py").write_text(CODE)
    (tmp_path / "packaged-1.0.dist-info").mkdir()
    (tmp_path / "packaged-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: packaged\nVersion: 1.0\n"
    )
    entries = "[recbole_mm.models]\nMyModel = packaged_by_a_test:MyModel\nOther = packaged_by_a_test:MyModel\n"
    (tmp_path / "packaged-1.0.dist-info" / "entry_points.txt").write_text(entries)
    monkeypatch.syspath_prepend(tmp_path)
    assert registered("MyModel") is None
    assert cli.main(["run", "--model=MyModel", *DATA]) == 0
    assert source_of(get_model("MyModel")) == "packaged_by_a_test:MyModel"
    with pytest.raises(InputError, match=r"^entry point Other of recbole_mm.models: must have the name of the class"):
        get_model("Other")


# Classes


class Popular(BPR):
    """RecBole's BPR, which looks at the features of its dataset."""

    multimodal = True

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        self.names = dataset.modality_names


def test_a_class() -> None:
    config = Config(model=Popular, dataset="microvideo", config_dict=dict(SMALL))
    assert config["embedding_size"] == 64  # of RecBole's BPR.yaml
    assert config["model_source"] == f"{__name__}:Popular"
    assert type(create_dataset(config)) is MultimodalDataset
    assert run_recbole(model=Popular, dataset="microvideo", config_dict=dict(SMALL), saved=False)["test_result"]


def test_a_class_with_a_data_set_and_a_trainer_of_its_own() -> None:
    class OwnData(MultimodalDataset):
        pass

    class OwnTrainer(Trainer):
        pass

    assert recbole_mm.register_model(Popular, dataset=OwnData, trainer=OwnTrainer) is Popular
    config = Config(model=Popular, dataset="microvideo", config_dict=dict(SMALL))
    assert type(create_dataset(config)) is OwnData
    assert recbole.trainer.PopularTrainer is OwnTrainer


@pytest.mark.parametrize(("model", "kind"), [("BPR", MultimodalDataset), ("STAMP", MultimodalSequentialDataset)])
def test_any_model_can_ask_for_the_features(model: str, kind: type) -> None:
    asked = {"multimodal_dataset": True, "train_neg_sample_args": None if model == "STAMP" else {"sample_num": 1}}
    if model == "BPR":
        del asked["train_neg_sample_args"]
    dataset = create_dataset(Config(model, "microvideo", config_dict=SMALL | asked))
    assert type(dataset) is kind
    assert dataset.modality_names == ("image", "audio", "text")


def test_which_models_a_comparison_is_about() -> None:
    proposed = {name for name in ("MHCR", "SEA", "CCL4Rec", "VBPR", "BM3", "BPR") if is_proposed(get_model(name))}
    assert proposed == {"MHCR", "SEA", "CCL4Rec"}
    assert is_proposed(Popular)
    assert not is_proposed(type("Baseline", (Popular,), {"proposed": False, "__module__": __name__}))


def test_a_name_that_is_taken() -> None:
    taken = type("BPR", (BPR,), {"__module__": __name__})
    with pytest.raises(InputError, match=r"RecBole or the pack has a model BPR: rename the class$"):
        recbole_mm.register_model(taken)
    with pytest.raises(InputError, match=r"^builtins:dict: not a recommender of RecBole"):
        recbole_mm.register_model(dict)


@pytest.mark.parametrize("model", ["VBPR", "BM3", "SEA", "MHCR"])
def test_cold_items_of_every_model_by_one_rule(model: str) -> None:
    split = {"eval_args": {"split": {"RS": [0.3, 0.2, 0.5]}, "order": "RO", "group_by": "user", "mode": "full"}}
    contract = type("Contract", (ModelContract,), {"model": model})
    own, neighbours = (contract.built(cold_items=rule, **split).model.eval() for rule in ("own", "neighbours"))
    trained = own.scoring_embeddings()[1][1:], neighbours.scoring_embeddings()[1][1:]
    replaced = neighbours.cold.replaced.squeeze(1)
    assert 0 < replaced.sum() < len(replaced)
    assert trained[0][~replaced].equal(trained[1][~replaced])
    assert not trained[0][replaced].isclose(trained[1][replaced]).all(1).any()
