"""End to end through the command line, as a user types it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from recbole_mm.base.errors import InputError
from recbole_mm.commands import cli
from recbole_mm.commands import run as run_command
from recbole_mm.configuration.request import read_yaml
from recbole_mm.settings.space_files import read_space

ROOT = Path(__file__).parents[1]
MICROVIDEO = ["--dataset=microvideo", f"--data_path={ROOT / 'dataset'}", "--embedding_size=16"]
QUICK = [*MICROVIDEO, "--epochs=3", "--eval_step=1", "--hyper_num=4"]


def only_result(folder: Path) -> dict[str, object]:
    (file,) = folder.rglob("result.json")
    result: dict[str, object] = json.loads(file.read_text())
    return result


def mistake(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that must be refused before training, and return the one line that says why."""
    assert cli.main(["run", *arguments]) == 2
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("error: ")
    assert not list(Path().rglob("*.pth"))
    assert not list(Path().glob("saved/*"))
    return lines[0]


def test_run_leaves_metrics_result_curve_and_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--model=MHCR", *QUICK, "--seed=7"]) == 0
    printed = capsys.readouterr().out
    assert "microvideo: 300 users" in printed
    assert "Modality image" in printed
    assert "normalize l2" in printed
    for metric, value in only_result(tmp_path)["test"].items():  # type: ignore[attr-defined]
        assert any(metric in line and f"{value:.4f}" in line for line in printed.splitlines())
    (folder,) = (tmp_path / "saved").iterdir()
    files = {"MHCR.pth", "result.json", "curve.png", "test_users.npz", "tensorboard"}
    assert {file.name for file in folder.iterdir()} == files
    assert (folder / "curve.png").read_bytes().startswith(b"\x89PNG")
    result = only_result(tmp_path)
    assert result["seed"] == 7
    assert result["status"] == "finished"
    assert [entry["epoch"] for entry in result["history"]] == [0, 1, 2]  # type: ignore[attr-defined]
    assert result["config"]["embedding_size"] == 16  # type: ignore[index]
    assert len(str(result["dataset_hash"])) == 64
    assert float(str(result["seconds_per_epoch"])) > 0
    assert result["environment"]["torch"]  # type: ignore[index]
    assert result["peak_memory_mib"]["ram"] > 50  # type: ignore[index]


def test_a_seed_gives_the_same_metrics_and_recbole_gives_them_too(tmp_path: Path) -> None:
    """The command adds nothing to training: RecBole's own run_recbole reaches the same numbers."""
    from recbole.quick_start import run_recbole

    assert cli.main(["run", *QUICK, "--checkpoint_dir=first"]) == 0
    assert cli.main(["run", *QUICK, "--checkpoint_dir=second"]) == 0
    first, second = only_result(tmp_path / "first"), only_result(tmp_path / "second")
    assert first["test"] == second["test"]
    assert first["dataset_hash"] == second["dataset_hash"]
    settings = dict(argument.removeprefix("--").split("=") for argument in QUICK)
    dataset = settings.pop("dataset")
    saved = sys.argv
    sys.argv = saved[:1]
    try:
        plain = run_recbole("MHCR", dataset, config_dict=settings | {"show_progress": False, "state": "ERROR"})
    finally:
        sys.argv = saved
    for part, found in (("test", plain["test_result"]), ("valid", plain["best_valid_result"])):
        assert {metric: round(value, 4) for metric, value in first[part].items()} == dict(found)  # RecBole rounds


def test_recbole_models_run_from_the_command_line(tmp_path: Path) -> None:
    arguments = ["--dataset=microvideo", f"--data_path={ROOT / 'dataset'}", "--epochs=1"]
    assert cli.main(["run", "--model=BPR", *arguments]) == 0
    assert only_result(tmp_path)["model"] == "BPR"


def test_config_files_then_command_line(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("epochs: 9\nlearning_rate: 0.5\nmodel: BPR\n")
    (tmp_path / "b.yaml").write_text(f"learning_rate: 0.01\ndataset: microvideo\ndata_path: {ROOT / 'dataset'}\n")
    assert cli.main(["run", "--config_files=a.yaml b.yaml", "--epochs", "1"]) == 0
    result = only_result(tmp_path)
    assert (result["model"], result["epochs"]) == ("BPR", 1)
    assert result["config"]["learning_rate"] == 0.01  # type: ignore[index]


def test_values_are_never_executed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mistake(capsys, *QUICK, "--learning_rate=__import__('pathlib').Path('owned').touch()")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model=MHCRR"], ["MHCRR", " MHCR, "]),
        (["--model=bpr"], ["bpr", " BPR, "]),
        (["--learnig_rate=0.1"], ["command line", "learnig_rate", "'learning_rate'"]),
        (["--hypernum=4"], ["hypernum", "'hyper_num'"]),
        (["--learner=adm"], ["adm", "adam"]),
        (["--valid_metric=MRR@20"], ["MRR@20", "topk"]),
        (["--topk=[10, 5000]"], ["5000", "240"]),
        (["--hyper_num=0"], ["hyper_num", "at least 1"]),
        (["--reading=papre"], ["papre", "'paper'"]),
        (["--hc_reference=smell"], ["smell", "image, audio, text"]),
        (["--normalize=l3"], ["l3", "l2"]),
        (["--eval_args={'split': {'RS': [1.0, 0.0, 0.0]}}"], ["split is empty"]),
        (["--metrics=['Recal']"], ["Recal"]),
        (["--config_files=nowhere.yaml"], ["nowhere.yaml"]),
        (["--resume=nowhere.pth"], ["nowhere.pth"]),
        (["--nproc=64"], ["64 "]),
        (["learning_rate=0.1"], ["learning_rate=0.1", "--key=value"]),
        (["--epochs=1", "--epochs=2"], ["--epochs", "twice"]),
        (["--epochs"], ["--epochs", "no value"]),
        (["--model=BPR", "--train_neg_sample_args=None"], ["BPR", "--train_neg_sample_args="]),
        (["--model=SASRec", "--train_neg_sample_args={'distribution': 'uniform'}"], ["loss_type is CE"]),
        (["--model=SASRec", "--exclude_seen=yes"], ["exclude_seen", "true or false"]),
        (["--model=CCL4Rec", "--r_min=0.6"], ["r_min 0.6", "r_max 0.5"]),
        (["--device=mars"], ["error: unknown device 'mars'", "cpu, cuda"]),
        (["--gpu_id=abc"], ["invalid gpu_id 'abc'"]),
        (["--use_gpu=abc"], ["use_gpu is 'abc'", "True or False"]),
        (["--metric_decimal_place=-1"], ["metric_decimal_place is -1", "between 1 and 15"]),
        (["--eval_step=0"], ["eval_step is 0", "at least 1"]),
        (["--eval_step=-1"], ["eval_step is -1", "at least 1"]),
        (["--user_inter_num_interval=abc"], ["invalid interval 'abc' in user_inter_num_interval", "[5,inf)"]),
        (["--reproducibility=abc"], ["reproducibility is 'abc'", "True or False"]),
        (["--loss_type=foo"], ["command line: unknown setting 'loss_type' for RecBole or MHCR"]),
        (["--model=SASRec", "--loss_type=foo"], ["unknown loss_type 'foo'", "SASRec has BPR, CE"]),
    ],
)
def test_mistakes_are_one_line_before_training(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    line = mistake(capsys, *MICROVIDEO, *arguments)
    for word in words:
        assert word in line


def test_a_gpu_that_is_not_there_is_one_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert "device is cuda, but torch finds no such GPU" in mistake(capsys, *MICROVIDEO, "--device=cuda")
    assert cli.main(["run", "--model=BPR", *MICROVIDEO, "--epochs=1", "--gpu_id=0"]) == 0
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told.count("gpu_id=0: torch finds no such GPU on this machine: training on the CPU") == 1


def write_toy(folder: Path, inter: str, item: str | None = None) -> list[str]:
    data = folder / "data" / "toy"
    data.mkdir(parents=True)
    (data / "toy.inter").write_text(inter)
    if item is not None:
        (data / "toy.item").write_text(item)
    return ["--model=BPR", "--dataset=toy", f"--data_path={folder / 'data'}", "--epochs=1"]


GOOD = "user_id:token\titem_id:token\n" + "".join(f"u{u}\ti{i}\n" for u in range(12) for i in range(u % 3, 12))


@pytest.mark.parametrize(
    ("inter", "words"),
    [
        (GOOD.replace("user_id:token", "user_id"), ["toy.inter", "user_id", "user_id:token"]),
        (GOOD.replace("\t", ","), ["toy.inter", "comma"]),
        (GOOD.replace("user_id:token", "uid:token"), ["toy.inter", "user_id", "uid"]),
        (GOOD + "u1\ti1\t3\t4\t5\n", ["toy.inter", "line 134"]),
        (GOOD + "NA\ti1\n", ["toy.inter", "line 134", "NA"]),
        (GOOD + "u1 \ti1\n", ["toy.inter", "line 134", "user_id 'u1 ' has blanks around it"]),
        (GOOD + "u1\t[PAD]\n", ["toy.inter", "line 134", "item_id '[PAD]'", "padding"]),
    ],
)
def test_bad_files_are_one_line_before_training(
    inter: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = mistake(capsys, *write_toy(tmp_path, inter))
    for word in words:
        assert word in line


@pytest.mark.parametrize(
    ("time", "arguments", "words"),
    [
        ("", [], ["toy.inter", "line 2", "timestamp is empty"]),
        ("inf", [], ["toy.inter", "line 2", "invalid time 'inf' in timestamp"]),
        ("5", ["--model=SASRec", "--train_neg_sample_args=None"], ["all 132 interactions", "timestamp 5"]),
        ("5", ["--load_col={'inter': ['user_id', 'item_id', 'rating']}"], ["load_col.inter", "'rating'"]),
    ],
)
def test_bad_times_and_columns_are_one_line_before_training(
    time: str, arguments: list[str], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head, *rows = GOOD.splitlines()
    common = write_toy(tmp_path, "\n".join([f"{head}\ttimestamp:float", *(f"{row}\t{time}" for row in rows)]))
    (tmp_path / "data" / "toy" / "toy.yaml").write_text("load_col: {inter: [user_id, item_id, timestamp]}\n")
    line = mistake(capsys, *common[any("--model" in word for word in arguments) :], *arguments)
    for word in words:
        assert word in line


def test_a_packed_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = write_toy(tmp_path, GOOD)
    (tmp_path / "data" / "toy" / "toy.item.gz").write_bytes(b"")
    line = mistake(capsys, *arguments)
    assert f"unpack it with gunzip -k {tmp_path / 'data' / 'toy' / 'toy.item.gz'}" in line


def test_items_of_other_ids_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = write_toy(tmp_path, GOOD, "item_id:token\nx1\nx2\n")
    line = mistake(capsys, *arguments, "--load_col={'inter': ['user_id', 'item_id'], 'item': ['item_id']}")
    assert "toy.item" in line
    assert "x1" in line or "x2" in line


def test_nan_scores_stop_the_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from recbole.model.general_recommender.bpr import BPR

    score = BPR.full_sort_predict
    monkeypatch.setattr(BPR, "full_sort_predict", lambda self, batch: score(self, batch) * float("nan"))
    arguments = ["--model=BPR", "--dataset=microvideo", f"--data_path={ROOT / 'dataset'}"]
    assert "NaN" in mistake(capsys, *arguments)


def test_an_infinite_loss_stops_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", *QUICK, "--learning_rate=1e30"]) == 2
    assert "error: MHCR: the training loss is" in capsys.readouterr().err


def test_interrupt_keeps_the_best_checkpoint_and_resume_goes_on(tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(ROOT / "run_recbole_mm.py"),
        *MICROVIDEO,
        "--epochs=500",
        "--stopping_step=500",
    ]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - a shell's background ignores it
    ) as process:
        assert process.stderr is not None
        said = b""
        while b" 3/500 " not in said:  # the progress bar has counted three epochs, so that two are validated
            heard = process.stderr.read(1)
            assert heard, said.decode()
            said += heard
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
        assert process.wait() == 130
    (checkpoint,) = tmp_path.rglob("MHCR.pth")
    assert b"Traceback" not in said
    assert f"--resume={checkpoint.relative_to(tmp_path)}" in said.decode()
    interrupted = only_result(tmp_path)
    assert interrupted["status"] == "interrupted"
    last = interrupted["history"][-1]["epoch"] + 5  # type: ignore[index]
    assert cli.main(["run", *MICROVIDEO, f"--epochs={last}", f"--resume={checkpoint}"]) == 0
    finished = only_result(tmp_path)
    assert finished["status"] == "finished"
    epochs = [entry["epoch"] for entry in finished["history"]]  # type: ignore[attr-defined]
    assert epochs == list(range(len(epochs)))
    assert cli.main(["run", "--model=BPR", *QUICK[:2], f"--resume={checkpoint}"]) == 2


def test_sea_stopped_and_resumed_ends_where_it_would_have(tmp_path: Path) -> None:
    def result(folder: str, *arguments: str) -> dict[str, Any]:
        weights = "{'image': 0.5, 'audio': 0.2, 'text': 0.3}"
        command = ["run", "--model=SEA", *MICROVIDEO, f"--graph_weights={weights}", f"--checkpoint_dir={folder}"]
        assert cli.main([*command, *arguments]) == 0
        return only_result(tmp_path / folder)

    whole = result("whole", "--epochs=4")
    stopped = result("part", "--epochs=2")
    resumed = result("part", "--epochs=4", f"--resume={stopped['checkpoint']}")
    assert whole["config"]["graph_weights"] == {"image": 0.5, "audio": 0.2, "text": 0.3}
    assert whole["test"] == resumed["test"]
    assert whole["valid"] == resumed["valid"]
    losses, again = ([entry["train_loss"] for entry in run["history"]] for run in (whole, resumed))
    assert losses == again
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--cl_weight=0.2"],
        ["--loss_type=BPR"],
        ["--modalities=None"],
    ],
)
def test_ccl4rec_runs(arguments: list[str], tmp_path: Path) -> None:
    assert cli.main(["run", "--model=CCL4Rec", *MICROVIDEO, "--epochs=2", "--eval_step=1", *arguments]) == 0
    result = only_result(tmp_path)
    first, second = (entry["train_loss"] for entry in result["history"])  # type: ignore[attr-defined]
    assert second < first
    assert result["test"]["ndcg@10"] > 0  # type: ignore[index]


def test_a_weight_for_no_modality_is_one_line_before_training(capsys: pytest.CaptureFixture[str]) -> None:
    line = mistake(capsys, "--model=SEA", *MICROVIDEO, "--graph_weights={'image': 0.5, 'audoi': 0.5}")
    assert "graph_weights: unknown modality 'audoi'; there are image, audio, text" in line
    assert "audio" in line
    line = mistake(capsys, "--model=SEA", *MICROVIDEO, "--modalities={'image': {'file': 'image.npy'}}")
    assert "SEA aligns two or more modalities and the dataset has image alone" in line


def test_a_package_that_a_model_needs_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    command = ["run", "--model=NCL", *MICROVIDEO, "--epochs=1", "--warm_up_step=0", "--num_clusters=20"]
    assert cli.main(command) == 2
    assert "error: faiss is not installed, and this command needs it" in capsys.readouterr().err


def test_a_setting_without_a_value_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text("epochs: 1\nvalid_metric:\n")
    line = mistake(capsys, "--model=BPR", "--config_files=a.yaml")
    assert line == "error: valid_metric is None: it must be text"


def test_recbole_s_complaint_about_data_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "all").mkdir()
    rows = [f"u{user}\ti{item}\n" for user in range(4) for item in range(12)]
    (tmp_path / "all" / "all.inter").write_text("user_id:token\titem_id:token\n" + "".join(rows))
    line = mistake(capsys, "--model=BPR", "--dataset=all", "--data_path=.", "--load_col=None")
    assert "dataset all in ./all: Some users have interacted with all items" in line


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("resume: E/nosuch\n", "error: own.yaml: resume is an option of the command line alone: take it out"),
        ("config_files: nosuch.yaml\n", "error: own.yaml: config_files is an option of the command line alone"),
        ("epochs: 1\nnproc: 2\n", "error: own.yaml: nproc is an option of the command line alone"),
        (
            "learning_rate: 0.5\nepochs: 1\nlearning_rate: 0.001\n",
            "error: own.yaml, lines 1 and 3: duplicate key 'learning_rate'; keep one",
        ),
        ("{epochs: 1, epochs: 1}\n", "error: own.yaml, line 1: duplicate key 'epochs'; keep one"),
        (
            "load_col:\n  inter: [user_id]\n  inter: [item_id]\n",
            "error: own.yaml, lines 2 and 3: duplicate key 'inter'; keep one",
        ),
        ("checkpoint_dir: 2026-13-01\n", "error: own.yaml is not valid yaml: month must be in 1..12"),
        ("[" * 3000, "error: own.yaml is not valid yaml: its brackets are nested too deeply"),
        ("show_progress: !!bool maybe\n", "error: own.yaml is not valid yaml: "),
    ],
)
def test_what_a_file_of_settings_cannot_say_is_one_line(
    content: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.yaml").write_text(content)
    assert mistake(capsys, *MICROVIDEO, "--config_files=own.yaml").startswith(said)


def test_a_search_space_is_read_as_a_file_of_settings_is(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text("n_layers: {choice: [1]}\nn_layers: {choice: [2]}\n")
    with pytest.raises(InputError, match=r"space\.yaml, lines 1 and 2: duplicate key 'n_layers'; keep one"):
        read_space(tmp_path / "space.yaml")


def test_a_key_that_overrides_a_merged_one_is_no_duplicate(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        "x: &x {a: 1, b: &b {c: 1}}\ny: {z: &z {<<: *x, a: 2}}\nw: {<<: *z, b: {<<: *b, c: 1e-3}}\n"
    )
    assert read_yaml("own.yaml") == {
        "x": {"a": 1, "b": {"c": 1}},
        "y": {"z": {"a": 2, "b": {"c": 1}}},
        "w": {"a": 2, "b": {"c": 0.001}},
    }


@pytest.mark.parametrize(
    ("given", "on_gpus"),
    [
        (["--use_gpu=false"], False),
        (["--use_gpu=FALSE"], False),
        (["--use_gpu=False"], False),
        (["--device=cpu"], False),
        (["--gpu_id="], False),
        (["--config_files=no.yaml"], False),
        (["--config_files=no.yaml", "--use_gpu=true"], True),
        ([], True),
    ],
)
def test_processes_on_cores_are_not_counted_against_gpus(
    given: list[str], on_gpus: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "no.yaml").write_text("use_gpu: no\n")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(run_command.os, "cpu_count", lambda: 1)
    needed = "GPUs and there are 1" if on_gpus else "cores and this machine has 1"
    assert f"error: --nproc=2 needs 2 {needed}: lower it" in mistake(capsys, *MICROVIDEO, "--nproc=2", *given)
