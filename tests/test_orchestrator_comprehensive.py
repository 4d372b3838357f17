"""Run the tests by category: python tests/test_orchestrator_comprehensive.py --test-type unit.

A front for pytest with the categories and the output of the user guide; the tests are in the folders beside it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Generator, Sequence
from datetime import datetime
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CATEGORIES = {
    "all": ("tests",),
    "unit": ("tests/unit",),
    "integration": ("tests/contract", "tests/integration"),
    "system": ("tests/system",),
    "performance": ("tests/performance",),
    "demo": ("tests/system/test_demo*.py",),
}
"""Where the tests of a category are, as patterns below the project's root."""


class GuideLines:
    """Print a line per test in the guide's form, in place of pytest's dots."""

    def __init__(self) -> None:
        self.passed = 0

    @pytest.hookimpl(wrapper=True)
    def pytest_report_teststatus(self) -> Generator[None, tuple[str, str, str], tuple[str, str, str]]:
        category, *_ = yield
        return category, "", ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.location[2]
        if report.failed:
            say("ERROR", f"❌ {name}: FAILED" if report.when == "call" else f"❌ {name}: FAILED in {report.when}")
        elif report.skipped:
            say("WARNING", f"{name}: {'XFAILED' if hasattr(report, 'wasxfail') else 'SKIPPED'}")
        elif report.when == "call":
            self.passed += 1
            say("INFO", f"✅ {name}: PASSED")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            say("ERROR", f"❌ {report.nodeid}: FAILED to be collected")


def say(level: str, text: str) -> None:
    """Print a line of the guide's form."""
    # Not through logging, which the tests set up and take down around us.
    print(f"[{datetime.now():%Y-%m-%d %H:%M:%S}] {level} - OrchestratorTests: {text}", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a category; return 0 only if tests ran, at least one passed and none failed."""
    parser = argparse.ArgumentParser(description="Run the tests of FinAgent Orchestration by category.")
    parser.add_argument("--test-type", choices=CATEGORIES, default="all")
    test_type = parser.parse_args(argv).test_type
    os.chdir(ROOT)
    say("INFO", "Starting FinAgent Orchestrator Tests")
    paths = sorted(str(path) for pattern in CATEGORIES[test_type] for path in ROOT.glob(pattern))
    if not paths:
        say("ERROR", f"❌ There are no {test_type} tests: nothing matches {', '.join(CATEGORIES[test_type])}")
        return int(pytest.ExitCode.NO_TESTS_COLLECTED)
    return run(paths)


def run(paths: Sequence[str]) -> int:
    """Run the tests below the paths; return pytest's exit code, or its code for no tests where none passed."""
    lines = GuideLines()
    code = pytest.main(["-q", "--no-header", *paths], plugins=[lines])
    if code == pytest.ExitCode.OK and not lines.passed:
        code = pytest.ExitCode.NO_TESTS_COLLECTED
    if code == pytest.ExitCode.NO_TESTS_COLLECTED:
        say("ERROR", "❌ No test ran")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
