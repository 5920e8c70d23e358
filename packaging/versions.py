#!/usr/bin/env python3
"""Run the pack's tests beside several Pythons and sets of dependencies, and print one table of all.

    packaging/versions.py --pythons="python3.10 python3.13" --dependencies="tested oldest"

Each environment is made in a temporary folder, beside a copy of the checkout, and removed before the next is made.
"""

from __future__ import annotations

import argparse
import configparser
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
RECBOLE = "recbole==1.2.1"
SETS = {
    "tested": "the versions of constraints.txt",
    "newest": "the newest that pip finds",
    "oldest": "the lower bounds of setup.cfg",
}
QUICK = ("-m", "not slow")
REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[\w,]+\])?>=([A-Za-z0-9.]+)")
COUNT = re.compile(r"(\d+) (passed|failed|skipped|error)")
COLUMNS = ("Python", "dependencies", "passed", "failed", "skipped", "minutes", "remark")


class Failed(Exception):
    """A step ended with an error; the message is what the table says of it."""


class Row(NamedTuple):
    python: str
    dependencies: str
    counts: dict[str, int]
    minutes: float
    remark: str

    @property
    def failed(self) -> int:
        return self.counts.get("failed", 0) + self.counts.get("error", 0)

    @property
    def good(self) -> bool:
        return not self.remark and not self.failed and self.counts.get("passed", 0) > 0

    def cells(self) -> tuple[str, ...]:
        numbers = (self.counts.get("passed", 0), self.failed, self.counts.get("skipped", 0)) if self.counts else "---"
        return (self.python, self.dependencies, *map(str, numbers), f"{self.minutes:.0f}", self.remark)


def lower_bounds(setup: Path) -> list[str]:
    """Return ``name==bound`` for what the package and its tests need, in the order of ``setup.cfg``."""
    config = configparser.ConfigParser()
    config.read(setup, encoding="utf-8")
    pins: dict[str, str] = {}
    sections = config["options"]["install_requires"], config["options.extras_require"]["dev"]
    for line in filter(None, "\n".join(sections).split("\n")):
        found = REQUIREMENT.fullmatch(line)
        if not found:
            raise Failed(f"setup.cfg: {line!r} is not NAME>=VERSION")
        name, bound = found.groups()
        if pins.setdefault(name, bound) != bound:
            raise Failed(f"setup.cfg: {name} has two lower bounds, {pins[name]} and {bound}")
    return [f"{name}=={bound}" for name, bound in pins.items()]


def counts(said: str) -> dict[str, int]:
    """Return how many tests passed, failed, were skipped or had an error, from pytest's last line."""
    lines = said.strip().splitlines() or [""]
    return {what: int(number) for number, what in COUNT.findall(lines[-1])}


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a table in Markdown."""
    cells = [COLUMNS, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [f"| {' | '.join(map(str.ljust, line, widths))} |" for line in cells]
    return "\n".join([lines[0], f"|{'|'.join('-' * (width + 2) for width in widths)}|", *lines[1:]])


def _run(words: Sequence[str | Path], log: Path, cwd: Path, env: dict[str, str]) -> int:
    """Run a program, whose output is added to the log, and return its exit code."""
    with log.open("a", encoding="utf-8") as file:
        file.write(f"$ {' '.join(map(str, words))}\n")
        file.flush()
        return subprocess.call(  # noqa: S603 - the words of this file
            [str(word) for word in words], cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
        )  # fmt: skip


def _copy(target: Path) -> None:
    """Copy what git knows or would take, as it lies in the checkout now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607 - git of the user
        cwd=ROOT, capture_output=True, check=True,
    ).stdout.decode()  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / name)
            shutil.copymode(ROOT / name, target / name)


def _reason(log: Path) -> str:
    errors = re.findall(r"^ERROR: (.+)$", log.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    return f"not installed: {errors[-1]}" if errors else f"not installed; see {log}"


def _steps(dependencies: str, torch: str, source: Path) -> Iterator[list[str]]:
    """Yield what pip is asked to install, as README.md says."""
    if dependencies == "newest":
        yield [torch]
        yield [torch, "-e", ".[dev]"]
    else:
        pins = source / "constraints.txt"
        if dependencies == "oldest":
            pins.write_text("\n".join(lower_bounds(source / "setup.cfg")) + "\n", encoding="utf-8")
        words = ["-c", str(pins), *(["--only-binary=:all:"] if dependencies == "oldest" else [])]  # nothing is compiled
        yield [*words, "torch"]
        yield [*words, "-e", ".[dev]"]
    yield ["--no-deps", RECBOLE]


def _version(python: str) -> str:
    try:
        said = subprocess.run([python, "-V"], capture_output=True, text=True, check=True).stdout  # noqa: S603 - asked for
    except (OSError, subprocess.CalledProcessError):
        raise Failed(f"{python} does not run") from None
    return said.split()[-1]


def _tested(python: str, steps: Iterator[list[str]], tests: Sequence[str], work: Path, log: Path) -> int:
    """Install and run the tests, and return pytest's exit code.

    Raises
    ------
    Failed
        A package cannot be installed.
    """
    env = {**os.environ, "OMP_NUM_THREADS": "1"}  # workers share the cores
    env.pop("PYTHONPATH", None)
    source, own = work / "source", work / "environment" / ("Scripts" if os.name == "nt" else "bin") / "python"
    programs: list[Sequence[str | Path]] = [[python, "-m", "venv", work / "environment"]]
    programs += [[own, "-m", "pip", "install", "--no-input", *step] for step in steps]
    if any(_run(program, log, source, env) for program in programs):  # the first that fails is the last
        raise Failed(_reason(log))
    _run([own, "-m", "pip", "freeze"], log, source, env)
    return _run([own, "-m", "pytest", "-q", "-rfE", *tests], log, source, env)


def measured(python: str, dependencies: str, given: argparse.Namespace) -> Row:
    """Return how the tests go with a Python and a set of dependencies; what was printed is kept in a file."""
    begun, version, found, remark = time.monotonic(), python, dict[str, int](), ""
    try:
        version = _version(python)
        log = given.out / f"{version}-{dependencies}.txt"
        log.unlink(missing_ok=True)
        with tempfile.TemporaryDirectory(prefix="versions-") as folder:
            work = Path(folder)
            work.chmod(0o755)  # tests that give up the rights of root read the checkout
            _copy(work / "source")
            steps = _steps(dependencies, given.torch, work / "source")
            code = _tested(python, steps, [*([] if given.all else QUICK), *given.tests], work, log)
        found = counts(log.read_text(encoding="utf-8", errors="replace"))
        if code and not found.get("failed") and not found.get("error"):
            remark = f"pytest ended with {code}; see {log}"
    except Failed as error:
        remark = str(error)
    return Row(version, dependencies, found, (time.monotonic() - begun) / 60, remark)


def _rows(given: argparse.Namespace) -> Iterator[Row]:
    for python in given.pythons.split():
        for dependencies in given.dependencies.split():
            sys.stderr.write(f"{python}, {dependencies}: {SETS[dependencies]}\n")
            yield measured(python, dependencies, given)


def main(words: Sequence[str]) -> int:
    """Print the table, and return 1 where anything failed or could not be installed, else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pythons", default=sys.executable, help="names or paths of Pythons (default: this one)")
    parser.add_argument("--dependencies", default="tested", help=f"of {', '.join(SETS)} (default: tested)")
    parser.add_argument("--torch", default="torch", help="the torch of 'newest', such as torch==2.13.0")
    parser.add_argument("--all", action="store_true", help="all tests; else those that `make quick` runs")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "versions", help="the folder of what was printed")
    parser.add_argument("tests", nargs="*", help="words for pytest, behind --: files, or -n 2 --dist loadfile")
    given = parser.parse_args(words)
    unknown = set(given.dependencies.split()) - set(SETS)
    if unknown:
        parser.error(f"--dependencies: unknown {sorted(unknown)}; valid are {', '.join(SETS)}")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests send it; in the background it would be ignored
    given.out.mkdir(parents=True, exist_ok=True)
    rows = list(_rows(given))
    sys.stdout.write(table(rows) + "\n")
    return 0 if rows and all(row.good for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
