"""packaging/versions.py: the oldest versions are setup.cfg's, and what fails stands in the table."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "packaging" / "versions.py"


@pytest.fixture(scope="module")
def versions() -> ModuleType:
    spec = importlib.util.spec_from_file_location("versions", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_library_has_a_lower_bound_at_or_below_the_tested_version(versions: ModuleType) -> None:
    bounds = dict(line.split("==") for line in versions.lower_bounds(ROOT / "setup.cfg"))
    assert {"torch", "numpy", "ray", "pytest"} <= set(bounds)
    tested: dict[str, list[str]] = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        name, equal, version = line.split(";")[0].partition("==")
        if equal:
            tested.setdefault(name.lower().replace("_", "-"), []).append(version)

    def number(version: str) -> list[int]:
        return [int(part) for part in re.findall(r"\d+", version)]

    for name, bound in bounds.items():
        assert all(number(bound) <= number(version) for version in tested[name.lower().replace("_", "-")]), name


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("numpy", "'numpy' is not NAME>=VERSION"),
        ("numpy>=2\n    numpy>=2.1", "numpy has two lower bounds, 2 and 2.1"),
    ],
)
def test_a_library_without_one_bound_is_refused(versions: ModuleType, tmp_path: Path, lines: str, said: str) -> None:
    file = tmp_path / "setup.cfg"
    file.write_text(f"[options]\ninstall_requires =\n    {lines}\n[options.extras_require]\ndev = pytest>=8\n")
    with pytest.raises(versions.Failed, match=re.escape(said)):
        versions.lower_bounds(file)


def test_pytests_last_line_is_counted(versions: ModuleType) -> None:
    said = "3 failed\n== 1 failed, 3335 passed, 20 skipped, 87 warnings, 2 errors in 656.80s (0:10:56) ==\n"
    assert versions.counts(said) == {"failed": 1, "passed": 3335, "skipped": 20, "error": 2}
    assert versions.counts("") == {}


def test_the_table(versions: ModuleType) -> None:
    rows = [
        versions.Row("3.11.7", "oldest", {"passed": 9, "error": 1}, 2.4, ""),
        versions.Row("p", "tested", {}, 0, "no"),
    ]
    assert versions.table(rows).splitlines() == [
        "| Python | dependencies | passed | failed | skipped | minutes | remark |",
        "|--------|--------------|--------|--------|---------|---------|--------|",
        "| 3.11.7 | oldest       | 9      | 1      | 0       | 2       |        |",
        "| p      | tested       | -      | -      | -       | 0       | no     |",
    ]
    assert [row.good for row in rows] == [False, False]


def test_a_python_that_is_not_there_is_a_row(tmp_path: Path) -> None:
    words = [sys.executable, SCRIPT, "--pythons=python0.1", "--dependencies=tested newest", f"--out={tmp_path}"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.count("python0.1 does not run") == 2


def test_an_unknown_set_is_refused(tmp_path: Path) -> None:
    words = [sys.executable, SCRIPT, "--dependencies=newset", f"--out={tmp_path / 'out'}"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--dependencies: unknown ['newset']; valid are tested, newest, oldest" in done.stderr
