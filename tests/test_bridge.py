"""What the import changes in RecBole: all of it, once, whoever has put something around it before."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from new_process import python

import recbole_mm
from recbole_mm.recbole_bridge import table

pytestmark = pytest.mark.slow  # left out by `make quick`


ROOT = Path(recbole_mm.__file__).parents[1]

FOREIGN = """
import functools, json, sys
import torch
torch.autograd.set_detect_anomaly(True)

def around(function):
    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        return function(*args, **kwargs)
    return wrapped

if sys.argv[1] == "before":
    from recbole.config import Config
    from recbole.data.dataset import Dataset, SequentialDataset
    from recbole.data.interaction import Interaction
    from recbole.trainer import Trainer
    for owner, names in (
        (Config, ["_update_internal_config_dict", "_get_final_config_dict", "_init_device"]),
        (Dataset, ["join", "build", "_remap", "_load_feat", "_dataframe_to_interaction"]),
        (SequentialDataset, ["_change_feat_format", "_benchmark_presets"]),
        (Interaction, ["__getitem__"]),
        (Trainer, ["fit", "_full_sort_batch_eval"]),
    ):
        for name in names:
            setattr(owner, name, around(getattr(owner, name)))

import recbole_mm
anomaly = torch.is_anomaly_enabled()
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import init_seed
sys.argv = sys.argv[:1]
columns = {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id"]}
given = {"data_path": DATA, "gpu_id": "", "load_col": columns}
config = Config(model="MHCR", dataset="microvideo", config_dict=given)
init_seed(1, True)
dataset = create_dataset(config)
train, valid, test = data_preparation(config, dataset)
print(json.dumps({
    "hyper_num": config["hyper_num"], "modalities": list(dataset.modality_names), "loader": type(valid).__name__,
    "time": str(train._dataset.inter_feat["timestamp"].dtype), "identity": len(dataset.identity.ids["user_id"]),
    "split": sorted(dataset.identity.split), "anomaly": anomaly,
}))
"""


@pytest.mark.parametrize("mode", ["before", "never"])
def test_foreign_wrappers_do_not_switch_the_pack_off(mode: str, tmp_path: Path) -> None:
    program = FOREIGN.replace("DATA,", f"{str(ROOT / 'dataset')!r},")
    done = python("-c", program, mode, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {
        "hyper_num": 32, "modalities": ["image", "audio", "text"], "loader": "FullSortBatches", "time": "torch.float64",
        "identity": 301, "split": ["test", "train", "valid"], "anomaly": True,
    }  # fmt: skip


def test_another_version_of_recbole_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "recbole").mkdir()
    (tmp_path / "recbole" / "__init__.py").write_text('__version__ = "1.3.0"\n')
    done = subprocess.run(
        [sys.executable, "-c", "import recbole_mm"],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "ImportError: recbole-mm is made for RecBole 1.2.1, and 1.3.0 is installed; "
        "install it with: pip install --no-deps recbole==1.2.1"
    )


def test_every_target_of_the_table_is_there() -> None:
    for patch in table.attributes():
        assert patch.why
        for target in patch.targets:
            name, _, path = target.partition(":")
            owner = importlib.import_module(name)
            for part in path.split("."):
                owner = getattr(owner, part)


def test_the_documentation_lists_every_change() -> None:
    page = (ROOT / "docs" / "recbole.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]+)`", page, re.MULTILINE)
    assert rows == [target for patch in (*table.modules(), *table.attributes()) for target in patch.targets[:1]]


def test_child_processes_of_recbole_import_the_pack(tmp_path: Path) -> None:
    """They fail for want of a GPU, and not because RecBole does not know the model."""
    (tmp_path / "main.py").write_text(
        "from recbole.quick_start import run\n"
        "if __name__ == '__main__':\n"
        "    import recbole_mm\n"  # which a child does not execute
        f"    data = {{'data_path': {str(ROOT / 'dataset')!r}, 'gpu_id': ''}}\n"
        "    run('MHCR', 'microvideo', config_dict=data, nproc=1, world_size=1)\n"
    )
    done = python("main.py", cwd=tmp_path)
    assert "ProcessRaisedException" in done.stderr, done.stderr[-2000:]
    assert "recbole_bridge/device.py" in done.stderr  # replaces RecBole's choice of the device
    assert "init_process_group" in done.stderr  # which it reaches after it has found model and settings
