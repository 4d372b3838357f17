"""What every test may use, and the rule that continuous integration skips no test of a real service."""

import logging
import os
import sys
from collections.abc import Generator, Iterator

import pytest

pytest_plugins = ["tests.services", "tests.registry", "tests.browser"]
# torch's compiler for graphics cards: no test compiles, and as a process ends it tells of hundreds of leaks.
sys.modules["triton"] = None  # type: ignore[assignment]
REAL_SERVICES = ("kafka", "redis", "browser")


@pytest.fixture(autouse=True)
def own_log_levels() -> Iterator[None]:
    """Let no test change for the next what the project logs: `log_level` is of the whole process."""
    loggers = [logging.getLogger(name) for name in ("finagent", "FinAgentOrchestrator")]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Make a skipped test of a real service a failure where CI=true: there a green run must mean that it ran."""
    report = yield
    needed = [name for name in REAL_SERVICES if item.get_closest_marker(name)]
    if report.skipped and needed and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped although CI=true: {', '.join(needed)} must run. {report.longrepr}"
    return report
