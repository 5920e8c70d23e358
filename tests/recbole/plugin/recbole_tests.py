"""The part of `run.py` in pytest's process: what is still to run, and a line of JSON for all that happens."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

import recbole_mm  # noqa: F401 (plugs into RecBole before its tests import it)

DONE, EVENTS = Path(os.environ["RECBOLE_TESTS_DONE"]), Path(os.environ["RECBOLE_TESTS_EVENTS"])
FAULTS: dict[str, str] = {}
SKIPPED: set[str] = set()


def _tell(**what: object) -> None:
    with EVENTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(what) + "\n")


def _reason(report: pytest.CollectReport | pytest.TestReport) -> str:
    """Return the line that says what went wrong."""
    crash = getattr(report.longrepr, "reprcrash", None)
    lines = [line for line in (crash.message if crash else report.longreprtext).splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("E ")]  # of a file that cannot be imported
    return (errors[-1][1:] if errors else (lines or ["no reason"])[0]).strip()


def pytest_configure() -> None:
    sys.argv[1:] = []  # RecBole's Config would read pytest's words as settings


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    done = set(json.loads(DONE.read_text(encoding="utf-8")))
    items[:] = [item for item in items if item.nodeid not in done]
    _tell(tests=[item.nodeid for item in items])


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        _tell(test=report.nodeid, outcome="failed", reason=_reason(report))


def pytest_runtest_logstart(nodeid: str) -> None:
    _tell(test=nodeid, outcome="running")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed:
        FAULTS.setdefault(report.nodeid, _reason(report))
    elif report.skipped:
        SKIPPED.add(report.nodeid)


def pytest_runtest_logfinish(nodeid: str) -> None:
    outcome = "failed" if nodeid in FAULTS else "skipped" if nodeid in SKIPPED else "passed"
    _tell(test=nodeid, outcome=outcome, reason=FAULTS.get(nodeid, ""))
