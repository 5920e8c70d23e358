#!/usr/bin/env python3
"""Run the tests of RecBole 1.2.1 with the pack plugged in, and count them; nothing is fetched.

    python tests/recbole/run.py FOLDER

FOLDER is a checkout of RecBole's repository at its tag v1.2.1, or the folder `tests` of one. The tests are copied, so
that what they write is removed behind them, and run against the RecBole that is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

PLUGIN = Path(__file__).resolve().parent / "plugin"
TESTS, LEAST = 255, 251
BEGINNING = 600  # seconds until the tests are found, and after the last of them
LOOK = 0.05  # seconds


class Suite:
    """RecBole's tests in a folder, and what became of each; a process that hangs or dies is followed by another."""

    def __init__(self, folder: Path, limit: float) -> None:
        self.folder, self.limit = folder, limit
        self.outcomes: dict[str, tuple[str, str]] = {}
        self._waiting: set[str] | None = None  # until pytest has found the tests
        self._running = ""
        self._read = 0

    def run(self) -> None:
        """Run until no test is left.

        Raises
        ------
        SystemExit
            Pytest ended, or hung, before it ran a test.
        """
        while self._waiting is None or self._waiting:
            before = len(self.outcomes)
            timed_out, said = self._process()
            if self._running:
                reason = f"did not end within {self.limit:g} seconds" if timed_out else f"its process ended: {said}"
                self._ended(self._running, "failed", reason)
            if self._waiting is None or (self._waiting and len(self.outcomes) == before):
                raise SystemExit(f"error: pytest {'hung' if timed_out else 'ended'} before the tests: {said}")
        if not self.outcomes:
            raise SystemExit("error: pytest found no test")

    def _process(self) -> tuple[bool, str]:
        """Run the tests that are left in one process; return whether it had to be killed, and its last line."""
        done, events, out = (self.folder / name for name in ("done.json", "events.jsonl", "output.txt"))
        done.write_text(json.dumps(list(self.outcomes)), encoding="utf-8")
        events.write_text("", encoding="utf-8")
        self._waiting, self._running, self._read = None, "", 0
        path = os.pathsep.join(filter(None, [str(PLUGIN), os.environ.get("PYTHONPATH", "")]))
        env = {**os.environ, "PYTHONPATH": path, "RECBOLE_TESTS_DONE": str(done), "RECBOLE_TESTS_EVENTS": str(events)}
        words = ["-q", "--continue-on-collection-errors", "-p", "recbole_tests", "-p", "no:cacheprovider", "tests"]
        with out.open("w", encoding="utf-8") as file:
            process = psutil.Popen(
                [sys.executable, "-m", "pytest", *words], cwd=self.folder, env=env, stdin=subprocess.DEVNULL,
                stdout=file, stderr=file,
            )  # fmt: skip
            try:
                timed_out = self._watched(process, events)
            finally:
                _end(process)
        self._events(events)
        lines = out.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return timed_out, f"{lines[-1] if lines else 'no output'} (exit code {process.returncode})"

    def _watched(self, process: psutil.Popen, events: Path) -> bool:
        """Wait for the end of the process, and return whether something takes longer than it may."""
        since = time.monotonic()
        while process.poll() is None:
            if self._events(events):
                since = time.monotonic()
            if time.monotonic() - since > (self.limit if self._running else BEGINNING):
                return True
            time.sleep(LOOK)
        return False

    def _events(self, file: Path) -> bool:
        """Take in what has happened since, and return whether anything has."""
        with file.open("rb") as stream:
            stream.seek(self._read)
            lines = [line for line in stream if line.endswith(b"\n")]
        self._read += sum(map(len, lines))
        for event in map(json.loads, lines):
            self._event(event)
        return bool(lines)

    def _event(self, event: Mapping[str, Any]) -> None:
        if "tests" in event:
            self._waiting = set(event["tests"])
        elif event["outcome"] == "running":
            self._running = event["test"]
        else:
            self._ended(event["test"], event["outcome"], event["reason"])

    def _ended(self, test: str, outcome: str, reason: str) -> None:
        if test not in self.outcomes:  # a file that cannot be imported fails in every process
            sys.stderr.write("." if outcome == "passed" else outcome[0].upper())
            sys.stderr.flush()
        self.outcomes[test] = outcome, reason
        if self._waiting is not None:
            self._waiting.discard(test)
        self._running = ""

    def of(self, outcome: str) -> dict[str, str]:
        """Return the tests with an outcome, and why."""
        return {test: reason for test, (found, reason) in self.outcomes.items() if found == outcome}


def _end(process: psutil.Popen) -> None:
    """Kill a process, where it still runs, and those that it started."""
    if process.poll() is None:
        for one in [*process.children(recursive=True), process]:
            try:
                one.kill()
            except psutil.NoSuchProcess:  # it has ended by itself
                continue
    process.wait()


def _tests(given: Path) -> Path:
    """Return the folder of RecBole's tests in what was given.

    Raises
    ------
    SystemExit
        There is none.
    """
    for folder in (given / "tests", given):
        if any(folder.glob("*/test_*.py")):
            return folder
    raise SystemExit(f"error: {given}: no RecBole tests here; give a checkout of RecBole 1.2.1, or its folder 'tests'")


def main(words: Sequence[str]) -> int:
    """Print what became of RecBole's tests, and return 1 where too few passed, else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a checkout of RecBole 1.2.1, or the folder of its tests")
    parser.add_argument("--timeout", type=float, default=400, help="seconds for one test (default: 400)")
    parser.add_argument("--least", type=int, default=LEAST, help=f"how many of {TESTS} must pass (default: {LEAST})")
    given = parser.parse_args(words)
    tests = _tests(given.folder)
    with tempfile.TemporaryDirectory(prefix="recbole-tests-") as folder:
        shutil.copytree(tests, Path(folder) / "tests", ignore=shutil.ignore_patterns("__pycache__"))
        (Path(folder) / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")  # no settings of a folder above
        suite = Suite(Path(folder), given.timeout)
        suite.run()
    passed, failed, skipped = (suite.of(outcome) for outcome in ("passed", "failed", "skipped"))
    lines = [f"FAILED {test}: {reason}" for test, reason in sorted(failed.items())]
    numbers = f"{len(passed)} passed, {len(failed)} failed, {len(skipped)} skipped"
    sys.stdout.write("\n".join(["", *lines, f"{numbers}; at least {given.least} of {TESTS} must pass"]) + "\n")
    return 0 if len(passed) >= given.least else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
