"""Whatever a command is given, it ends with what was asked, or with one line that says what is wrong."""

from __future__ import annotations

import errno
import io
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from recbole.utils import get_model
from training import write_toy

from recbole_mm.commands import cli, mishaps
from recbole_mm.commands import run as run_command
from recbole_mm.commands.arguments import recommend
from recbole_mm.configuration.recbole_settings import SETTING_TABLE
from recbole_mm.configuration.request import Request, configure
from recbole_mm.configuration.valid_names import recbole_folder
from recbole_mm.recbole_bridge.own_names import MODELS
from recbole_mm.settings.execution import OF_EVERY_MODEL
from recbole_mm.settings.parameters import defaults
from recbole_mm.training.build import build_model, load_dataset, split_dataset

ROOT = Path(__file__).parents[1]
TOY = ["run", "--dataset=toy", "--data_path=data", "--topk=[2]", "--valid_metric=MRR@2", "--epochs=1"]


def only_checked(request: Request, say: Any) -> None:
    configure(request)


def loaded(request: Request, say: Any) -> None:
    """Do all that a run does before it trains, but for its folder."""
    config = configure(request)
    build_model(config, split_dataset(config, load_dataset(config))[0])


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return write_toy(tmp_path / "data")


def ended(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return the error of a command in the one line that it must be, empty where it did what was asked."""
    capsys.readouterr()
    code = cli.main(words)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert (code, len(lines)) in ((0, 0), (2, 1)), (code, lines)
    return lines[0] if lines else ""


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("--seed=abc", "seed is 'abc': it must be a whole number between 0 and 4294967295"),
        ("--seed=-1", "seed is -1: it must be a whole number between 0 and 4294967295"),
        ("--seed=1.5", "seed is 1.5: it must be a whole number between 0 and 4294967295"),
        ("--stopping_step=None", "stopping_step is None: it must be a whole number of at least 0"),
        (
            "--metrics=[]",
            "metrics is []: it must be a list of which each is one of Recall, NDCG, MRR, Hit, Precision, ",
        ),
        ("--metrics=Recal", "metrics is 'Recal': it must be one of Recall, NDCG, MRR, Hit, Precision, "),
        ("--metrics=[Recall,Foo]", "metrics is 'Foo': it must be one of Recall, NDCG, MRR, Hit, Precision, "),
        ("--weight_decay=-1", "weight_decay is -1: it must be a number of at least 0"),
        ("--clip_grad_norm=abc", "clip_grad_norm is 'abc': it must be a mapping, such as {'max_norm': 5}"),
        ("--clip_grad_norm={'norm_type': 2}", "clip_grad_norm is {'norm_type': 2}: it must be a mapping, such as"),
        ("--threads=1000000", "threads must be between 0 and 1024, not 1000000"),
        ("--embedding_size=100000000000", "embedding_size must be at most 2147483647, not 100000000000"),
        ("--encoding=foo", "encoding is 'foo': it must be an encoding that Python knows, such as utf-8 or gb18030"),
        ("--USER_ID_FIELD=5", "USER_ID_FIELD is 5: it must be text"),
        ("--metric_decimal_place=abc", "metric_decimal_place is 'abc': it must be a whole number between 1 and 15"),
        ("--eval_args={'split': {'XX': [1, 1, 1]}}", "eval_args.split: unknown key 'XX'. The keys are RS, TS, LS."),
        ("--eval_args={'split': {'RS': 'x'}}", "eval_args.split.RS is 'x': it must be 3 numbers of at least 0, the"),
        (
            "--eval_args={'mode': 'unix'}",
            "eval_args.mode is 'unix': it must be full, labeled, or uni or pop with a",
        ),
        ("--eval_args={'mode': {'valid': 'x'}}", "eval_args.mode.valid is 'x': it must be full, labeled, or uni or"),
        ("--eval_args={'order': 'TX'}", "eval_args.order is 'TX': it must be one of RO, TO."),
        ("--checkpoint_dir=5", "checkpoint_dir is 5: it must be text, and a name of digits alone is written as ./5"),
        ("--transform=mask_itemseq", "transform is 'mask_itemseq': it is for models of histories; leave it out"),
        ("--alias_of_user_id=['x']", "alias_of_user_id: 'x' is not in load_col: add it there."),
    ],
)
def test_a_wrong_value_is_one_line_before_anything_is_loaded(
    word: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_command, "run", only_checked)
    assert said in ended(capsys, *TOY, "--model=MHCR", word)


@pytest.mark.usefixtures("toy")
def test_values_of_recbole_s_models_are_of_the_kind_of_their_defaults(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_command, "run", only_checked)
    light = [*TOY, "--model=LightGCN"]
    assert ended(capsys, *light, "--n_layers=abc").endswith("n_layers is 'abc': it must be a whole number")
    assert ended(capsys, *light, "--n_layers=1.5").endswith("n_layers is 1.5: it must be a whole number")
    assert ended(capsys, *light, "--embedding_size=3000000000").endswith("a whole number of at most 2147483647")
    assert ended(capsys, *light, "--reg_weight=True").endswith("reg_weight is True: it must be a number")
    assert ended(capsys, *light, "--require_pow=1").endswith("require_pow is 1: it must be True or False")
    assert ended(capsys, *light, "--reg_weight=1", "--n_layers=1") == ""


@pytest.mark.usefixtures("toy")
@pytest.mark.skipif(find_spec("wandb") is not None, reason="wandb is installed")
def test_weights_and_biases_must_be_installed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_command, "run", only_checked)
    assert ended(capsys, *TOY, "--model=BPR", "--log_wandb=True") == (
        "error: log_wandb is True and wandb is not installed: pip install wandb, or leave it out"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("5\n", "toy.yaml must hold `key: value` lines, not int"),
        ("- a\n", "toy.yaml must hold `key: value` lines, not list"),
        ("load_col: 5\n", "load_col is 5: it must be a mapping, such as {'inter': ['user_id', 'item_id']}"),
        ("learning_rate: 1e-3\nseed: x\n", "seed is 'x': it must be a whole number"),
        ("USER_ID_FIELD: [a]\n", "USER_ID_FIELD is ['a']: it must be text"),
        ("metrics: {a: 1}\n", "metrics is {'a': 1}: it must be one of Recall, NDCG, "),
        ("a: [\n", "toy.yaml is not valid yaml"),
    ],
)
def test_a_wrong_yaml_file_of_a_dataset_is_one_line(
    content: str, said: str, toy: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_command, "run", only_checked)
    (toy / "toy" / "toy.yaml").write_text(content)
    assert said in ended(capsys, *TOY, "--model=BPR")


def test_the_table_has_every_setting_of_recbole_s_files_of_defaults() -> None:
    for file in ("overall.yaml", "dataset/sample.yaml"):
        given_there = yaml.safe_load((recbole_folder() / "properties" / file).read_text(encoding="utf-8"))
        assert set(given_there) <= set(SETTING_TABLE)
    assert all(setting.meaning and setting.kind.words() for setting in SETTING_TABLE.values())


def names() -> list[str]:
    declared = [defaults(kind) for kind in OF_EVERY_MODEL]
    own = [defaults(get_model(model).parameter_class) for model in MODELS]
    free = {"checkpoint_dir", "data_path", "model_source", "resume"}  # of a folder or file that may be there
    return sorted({name for group in (SETTING_TABLE, *declared, *own) for name in group} - free)


KINDS_OF_VALUES = """
None True abc -1 0 1 2 1.5 1e400 nan 10**9 [] {} ['a'] '' / {'a':1} {'a':[1]} {1:None} 9999999999999999999 [[1]] (1,)
lambda [0,1) b'x' set() 1j first uniform utf-8 [None] {'inter':None} {'inter':5} user_id
"""
VALUES = st.sampled_from(KINDS_OF_VALUES.split()) | st.text(max_size=5).filter(lambda text: "\0" not in text)
QUIET = [HealthCheck.function_scoped_fixture]


@pytest.mark.usefixtures("toy")
@settings(deadline=None, max_examples=70, suppress_health_check=QUIET)
@given(st.dictionaries(st.sampled_from(names()), VALUES, min_size=1, max_size=2), st.sampled_from(["MHCR", "SASRec"]))
def test_any_value_of_any_setting_is_taken_or_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], given_here: dict[str, str], model: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_command, "run", only_checked)
        ended(capsys, *TOY, f"--model={model}", *(f"--{name}={value}" for name, value in given_here.items()))


@pytest.mark.usefixtures("toy")
@settings(deadline=None, max_examples=35, suppress_health_check=QUIET)
@given(st.sampled_from(sorted(SETTING_TABLE)).filter(lambda name: "dir" not in name), VALUES)
@example("load_col", "{'inter': 5}")
@example("numerical_features", "['a']")
@example("seq_len", "{'item_id': 'x'}")
def test_any_value_that_is_taken_leads_to_a_model_or_to_one_line(
    capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_command, "run", loaded)
        ended(capsys, *TOY, "--model=BPR", f"--{name}={value}")


@settings(deadline=None, max_examples=35, suppress_health_check=QUIET)
@given(st.lists(st.sampled_from([*cli.COMMANDS, "--help", "--x", "--model", "--=", "-", "=", "", "a", "--name=../x"])
                | st.text(max_size=4), max_size=4))  # fmt: skip
def test_any_words_are_help_or_one_line(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "_run", lambda command, arguments, loaded: 0)
        ended(capsys, *words)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/x"), "/x: No such file or directory: check"),
        (OSError(errno.ENOSPC, "No space left on device", "a"), "a: No space left on device: make room on"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "a/b"), "a/b: Not a directory: a file is where a folder"),
        (OSError("odd\nnews"), "a file or connection: odd news"),
        (MemoryError(), "out of memory: lower embedding_size, train_batch_size or eval_batch_size"),
        (RuntimeError("[enforce fail at a.cpp:1] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 "
                      "bytes. Error code 12"), "out of memory (can't allocate memory: you tried to allocate 9 bytes)"),
        (RuntimeError("CUDA out of memory. Tried"), "out of memory (CUDA out of memory. Tried): lower"),
        (ModuleNotFoundError("x", name="x"), "x is not installed, and this command needs it: pip install it first"),
    ],
)  # fmt: skip
def test_files_memory_and_packages_are_one_line_at_the_door(
    error: Exception, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: Any) -> None:
        raise error

    monkeypatch.setattr(cli, "_answer", fail)
    assert ended(capsys, "run").startswith(f"error: {said}")


def test_a_mistake_of_the_pack_s_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    assert mishaps.what_failed(RuntimeError("x")) is None
    monkeypatch.setattr(cli, "_answer", lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(["run"])


def test_an_output_that_nobody_reads_ends_a_command_quietly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Closed(io.FileIO):
        def write(self, *given: Any) -> int:
            raise BrokenPipeError

    with Closed(tmp_path / "out", "w") as closed:
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(closed, write_through=True))
        assert cli.main(["--help"]) == 141
    assert capsys.readouterr().err == ""


def test_an_interrupt_while_modules_load_is_one_line(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import recbole_mm_cli\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'torch':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupting()); recbole_mm_cli.main(['run'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (130, "\ninterrupted before anything was done; nothing to resume.\n")


@pytest.mark.usefixtures("toy")
def test_names_do_not_lead_out_of_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    refused = "--name is '../x': it must be a name alone, without folders, such as letters, digits, _ and -"
    assert ended(capsys, "split", "toy", "--data_path=data", "--min-history=1", "--name=../x") == f"error: {refused}"
    assert ended(capsys, "tune", "--model=BPR", *TOY[1:3], "--name=../x") == f"error: {refused}"
    Path("file").write_text("")
    said = ended(capsys, "compare", "--models=BPR", "--datasets=toy", "--data_path=data", "--out=file")
    assert said == "error: --out=file is a file: name a folder, new or of an earlier comparison"
    assert re.search(r"--seed is -1: it must be a whole number between", ended(
        capsys, "split", "toy", "--data_path=data", "--min-history=1", "--seed=-1"))  # fmt: skip


@pytest.mark.usefixtures("toy")
def test_files_in_the_way_of_logs_do_not_stop_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("log", "log_tensorboard"):
        Path(name).write_text("")
    assert ended(capsys, *TOY, "--model=BPR") == ""
    assert list(Path("saved").glob("BPR-toy-*/result.json"))
    Path("elsewhere").write_text("")
    assert "elsewhere" in ended(capsys, *TOY, "--model=BPR", "--checkpoint_dir=elsewhere")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--model=LightGCN", "--model=BPR"], "--model is given twice, as LightGCN and as BPR"),
        (["run", "--resume", "a", "--model=BPR", "--resume=b"], "--resume is given twice, as a and as b"),
        (["run", "--nproc=1", "--nproc=2"], "--nproc is given twice, as 1 and as 2"),
        (["tune", "--space=a", "--space=b"], "--space is given twice, as a and as b"),
        (["tune", "--search=grid", "--search=random"], "--search is given twice, as grid and as random"),
        (["compare", "--seeds=2", "--num_seeds=3"], "--num-seeds is given twice, as 2 and as 3"),
        (["compare", "--models=BPR", "--models=SEA,MHCR"], "--models is given twice, as BPR and as SEA,MHCR"),
        (["convert", "table", "x", "--out=a", "--out=b"], "--out is given twice, as a and as b"),
        (["split", "x", "--cold-items=0.1", "--cold-items=0.2"], "--cold-items is given twice, as 0.1 and as 0.2"),
        (["recommend", "x", "--k=1", "--k=2"], "--k is given twice, as 1 and as 2"),
    ],
)
def test_an_option_with_two_values_is_refused(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(capsys, *words) == f"error: command line: {said}"


def test_what_may_be_repeated_is(capsys: pytest.CaptureFixture[str]) -> None:
    read = recommend.parser().read
    for _ in range(2):  # one parser reads several command lines
        options = read(["x", "--k=3", "--k=3", "--why", "--why", "--new-items=a.npy", "--new-items=b.npy"]).options
        assert (options.k, options.new_items) == (3, ["a.npy", "b.npy"])
    assert read(["x", "--k=4"]).options.k == 4
