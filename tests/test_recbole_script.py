"""tests/recbole/run.py on a small folder of tests that is laid out as RecBole's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # left out by `make quick`

SCRIPT = Path(__file__).parent / "recbole" / "run.py"
CONFIG = """
import subprocess, sys, unittest
import recbole
from recbole.config import Config

class TestConfig(unittest.TestCase):
    def test_settings(self):
        assert Config(model="BPR", dataset="ml-100k")["topk"] == [10]
        assert "recbole_mm" in sys.modules

    def test_wrong(self):
        try:
            raise KeyError("before")
        except KeyError:
            self.assertEqual(len(recbole.__version__), 2)

    def test_process(self):
        code = "import sys; sys.exit('recbole_mm' not in sys.modules)"
        assert subprocess.call([sys.executable, "-c", code]) == 0

    def test_written(self):
        open("written", "w").close()
"""
MODEL = """
import os
import pytest

def test_dies():
    os._exit(3)

def test_left():
    pass

@pytest.mark.skip(reason="needs a GPU")
def test_gpu():
    pass
"""
HANGS = """
import time

def test_hangs():
    time.sleep(1000)

def test_left():
    pass
"""
BROKEN = "import not_installed_anywhere\n"


def script(*words: str | Path) -> subprocess.CompletedProcess[str]:
    words = (sys.executable, SCRIPT, *words)
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(words, env=env, capture_output=True, text=True, check=False, timeout=500)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name, text in (("config", CONFIG), ("model", MODEL), ("metrics", BROKEN)):
        (tmp_path / "RecBole" / "tests" / name).mkdir(parents=True)
        (tmp_path / "RecBole" / "tests" / name / f"test_{name}.py").write_text(text, encoding="utf-8")
    return tmp_path / "RecBole"


def test_recboles_tests_are_counted(checkout: Path) -> None:
    done = script(checkout, "--least=4")
    *failed, numbers = done.stdout.strip().splitlines()
    reasons = dict(line.removeprefix("FAILED tests/").split(": ", 1) for line in failed)
    assert reasons.pop("model/test_model.py::test_dies").startswith("its process ended: ")
    assert reasons == {
        "config/test_config.py::TestConfig::test_wrong": "AssertionError: 5 != 2",
        "metrics/test_metrics.py": "ModuleNotFoundError: No module named 'not_installed_anywhere'",
    }
    assert numbers == "4 passed, 3 failed, 1 skipped; at least 4 of 255 must pass"
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in checkout.iterdir()) == ["tests"]  # what tests write is not written here


def test_a_test_that_hangs_has_failed_and_251_must_pass(tmp_path: Path) -> None:
    file = tmp_path / "tests" / "model" / "test_model.py"
    file.parent.mkdir(parents=True)
    file.write_text(HANGS, encoding="utf-8")
    done = script(tmp_path / "tests", "--timeout=2")
    assert done.stdout.strip().splitlines() == [
        "FAILED tests/model/test_model.py::test_hangs: did not end within 2 seconds",
        "1 passed, 1 failed, 0 skipped; at least 251 of 255 must pass",
    ]
    assert done.returncode == 1


def test_no_tests(tmp_path: Path) -> None:
    done = script(tmp_path / "none")
    assert done.returncode == 1
    assert re.fullmatch(r"error: \S+none: no RecBole tests here; give a checkout .+\n", done.stderr)


def test_no_test_in_the_files(checkout: Path) -> None:
    for file in checkout.glob("tests/*/*.py"):
        file.write_text("", encoding="utf-8")
    done = script(checkout)
    assert done.returncode == 1
    assert done.stderr == "error: pytest found no test\n"


def test_our_tests_do_not_collect_recboles(checkout: Path, pytestconfig: pytest.Config) -> None:
    assert "tests/recbole" in pytestconfig.getini("norecursedirs")
