"""What answers at once imports nothing heavy, and mistakes in arguments are one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import new_process
import pytest

from recbole_mm.base.errors import InputError
from recbole_mm.commands import cli
from recbole_mm.commands.arguments import compare, convert, inspect, run, split, tune
from recbole_mm.commands.parser import Parser

pytestmark = pytest.mark.slow  # left out by `make quick`


ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "pandas", "numpy", "ray", "matplotlib", "plotly", "recbole")
LOADED = f"import sys; sys.stderr.write(repr([name for name in {HEAVY} if name in sys.modules]))"
PARSERS = {
    module.__name__.rpartition(".")[2]: module.parser for module in (compare, convert, inspect, run, split, tune)
}


def python(*arguments: str, code: int = 0, **environment: str) -> tuple[str, str]:
    """Return the output and the errors of a new Python, which must end with a code."""
    changed = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, *arguments], env={**changed, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--help"], 0, "usage: recbole-mm COMMAND"),
        (["--version"], 0, "RecBole 1.2.1"),
        *[([*command.split(), "--help"], 0, f"usage: recbole-mm {command} ") for command in cli.COMMANDS],
        ([], 2, "error: no command is given"),
        (["rnu"], 2, "error: unknown command 'rnu'. Did you mean 'run'?"),
        (["--verison"], 2, "error: unknown option '--verison'. Did you mean '--version'?"),
        (["run", "--modle=MHCR"], 2, "error: unknown option '--modle'. Did you mean '--model'?"),
        (["tune", "--final-seed=2"], 2, "error: unknown option '--final-seed'. Did you mean '--final-seeds'?"),
        (["convert", "--ovrewrite"], 2, "error: unknown option '--ovrewrite'. Did you mean '--overwrite'?"),
    ],
)
def test_help_and_mistyped_words_import_nothing_heavy(words: list[str], code: int, said: str) -> None:
    script = f"import recbole_mm_cli, sys; code = recbole_mm_cli.main(sys.argv[1:]); {LOADED}; sys.exit(code)"
    out, err = python("-c", script, *words, code=code)
    lines, _, heavy = err.rpartition("\n")
    assert heavy == "[]"
    assert said in (lines if code else out)
    assert len(lines.splitlines()) == (1 if code else 0)


@pytest.mark.parametrize("start", [["-m", "recbole_mm", "run"], [str(ROOT / "run_recbole_mm.py")]])
def test_every_way_in_answers_before_torch(start: list[str]) -> None:
    out, err = python("-X", "importtime", *start, "--help")
    assert out.startswith("usage: recbole-mm run ")
    assert not {line.rpartition("|")[2].strip() for line in err.splitlines()} & set(HEAVY)


def test_importing_the_pack_plugs_in_at_once_without_ray_and_plots() -> None:
    found = "import recbole.model.general_recommender as models; assert models.MHCR"
    heavy = python("-c", f"import recbole_mm; {found}; {LOADED}")[1]
    assert heavy == repr(["torch", "pandas", "numpy", "recbole"])


def test_a_command_plugs_in_once_its_arguments_are_read() -> None:
    assert "'MHC'" in python("-m", "recbole_mm", "run", "--model=MHC", code=2)[1]
    done = new_process.python("-c", "import recbole_mm_cli; recbole_mm_cli.main()", "run", "--model=MHC")
    assert done.returncode == 0
    assert "'MHC'" in done.stderr


@pytest.mark.parametrize("set_by_user", [None, "ACTIVE"])
def test_threads_that_wait_sleep_unless_the_user_says_otherwise(set_by_user: str | None) -> None:
    script = (
        "import os, sys, recbole_mm_cli; from importlib import import_module\n"
        "class Seen:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'torch':\n"
        "            sys.exit(print(os.environ['OMP_WAIT_POLICY']))\n"
        "sys.meta_path.insert(0, Seen()); recbole_mm_cli.main(['run', '--model=MHC'])"
    )
    given = {} if set_by_user is None else {"OMP_WAIT_POLICY": set_by_user}
    assert python("-c", script, **given)[0] == (set_by_user or "PASSIVE") + "\n"


def test_a_missing_recbole_is_one_line() -> None:
    script = (
        "import importlib.util, sys, recbole_mm_cli\n"
        "found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'recbole' else found(name, *rest)\n"
        "sys.exit(recbole_mm_cli.main(['run']))"
    )
    error = python("-c", script, code=2)[1]
    assert error == "error: recbole-mm needs RecBole; install it with: pip install --no-deps recbole==1.2.1\n"


def test_processes_that_a_command_starts_are_plugged_in(tmp_path: Path) -> None:
    """As those of RecBole's `run`, whose function is RecBole's own."""
    (tmp_path / "main.py").write_text(
        "import multiprocessing, sys, recbole_mm_cli\n"
        "if __name__ == '__main__':\n"
        "    process = multiprocessing.get_context('spawn').Process(target=exec, args=(sys.argv[1],))\n"
        "    process.start(); process.join(); sys.exit(process.exitcode)\n"
    )
    python(str(tmp_path / "main.py"), "from recbole.model.general_recommender import MHCR")


@pytest.mark.parametrize(
    ("command", "words", "said"),
    [
        ("run", ["--model"], "--model has no value; write --model=VALUE"),
        ("run", ["--nproc=two"], "--nproc: invalid whole number 'two'"),
        ("run", ["epochs=3"], "unexpected argument 'epochs=3'"),
        ("tune", ["--scheduler=asah"], "--scheduler: invalid value 'asah' (valid: asha, median, none). Did you mean"),
        ("tune", ["--time-budget=1h"], "--time-budget: invalid number '1h'"),
        ("compare", ["--num-seeds=x"], "--num-seeds: invalid whole number 'x'"),
        ("compare", ["--ray=yes"], "--ray takes no value: leave out 'yes'"),
        ("convert", ["table"], "missing: SOURCE, --out"),
        ("convert", ["table", "a", "b", "--out=c"], "unexpected argument 'b'"),
        ("inspect", ["--topk", "10"], "missing: NAME"),
        ("split", ["x"], "one of --time --cold-items --cold-users --min-history is required"),
        ("split", ["x", "--cold-items=0.1", "--min-history=2"], "--cold-items and --min-history exclude each other"),
        ("split", ["x", "--cold-item=0.1"], "unknown option '--cold-item'. Did you mean '--cold-items'?"),
    ],
)
def test_mistakes_in_arguments_are_one_line(
    command: str, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([command, *words]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: {said}") or f"command line: {said}" in captured.err
    assert captured.err.count("\n") == 1
    assert not captured.out


def test_options_have_one_spelling_and_others_are_understood() -> None:
    read = compare.parser().read
    for words in (["--num-seeds=3"], ["--seeds=3"], ["--num_seeds", "3"], ["--seeds", "3"]):
        assert read(words).options.num_seeds == 3
    assert read(["--config-files=a.yaml", "--seeds=3"]).words == ("--config-files=a.yaml", "--seeds=3")
    assert read(["--config-files=a.yaml"]).options.config_files == "a.yaml"
    assert "--seeds" not in compare.parser().format_help()


def test_a_setting_with_a_blank_is_not_taken_for_the_dataset() -> None:
    arguments = inspect.parser().read(["--topk", "10", "microvideo", "--model", "BPR"])
    assert (arguments.options.name, arguments.options.model) == ("microvideo", "BPR")
    assert arguments.settings == {"topk": "10"}


def test_a_setting_that_is_near_an_option_is_a_setting() -> None:
    assert run.parser().read(["--model=mine.py:Mine", "--modle=3"]).settings == {"modle": "3"}
    assert compare.parser().read(["--seed=7", "--setting=1"][:1]).settings == {"seed": "7"}
    with pytest.raises(InputError, match="unknown option '--datset'"):
        run.parser().read(["--datset=x"])


@pytest.mark.parametrize("parser", PARSERS.values(), ids=PARSERS)
def test_every_option_is_documented_and_spelt_with_hyphens_or_as_recbole_has_it(parser: type[Parser]) -> None:
    recbole = {"--config_files", "--data_path", "--world_size", "--group_offset"}
    for action in parser()._actions:
        assert action.help
        assert not {name for name in action.option_strings if "_" in name} - recbole
