"""The command line as users have it: every program a process of its own, on real Kafka and Redis."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.cli.status import status_of
from infra.processes import Processes, processes
from orchestrator.settings import load
from orchestrator.wiring import BUILT_IN

pytestmark = [pytest.mark.kafka, pytest.mark.redis]
EXAMPLES = Path(__file__).parents[2] / "examples"
READY_S = 45.0


@dataclass(frozen=True)
class System:
    """Programs that run, and how others find them."""

    children: Processes
    environment: dict[str, str]

    def finagent(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return finagent(arguments, self.environment)

    def json(self, *arguments: str) -> Any:
        """Return what a command that went well printed."""
        done = self.finagent(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def status(self) -> dict[str, Any]:
        """Return what `finagent status` tells, without a process for it."""
        return asyncio.run(status_of(load(environ=self.environment)))

    def wait(self, condition: Callable[[dict[str, Any]], bool]) -> None:
        """Wait until the status is as expected."""
        deadline = time.monotonic() + READY_S
        while not condition(found := self.status()):
            assert time.monotonic() < deadline, found
            self.children.check()
            time.sleep(0.3)  # looking costs processor time that the starting programs need


def finagent(arguments: Sequence[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "infra.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | environment)


@pytest.fixture(scope="module")
def system(kafka_bootstrap: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    environment = {
        "FINAGENT_KAFKA__BOOTSTRAP": kafka_bootstrap,
        "FINAGENT_KAFKA__PREFIX": f"test-{uuid.uuid4().hex[:12]}.",
        "FINAGENT_REDIS__URL": redis_url,
    }
    with processes(tmp_path_factory.mktemp("logs"), environment) as children:
        # Pools before and after the orchestrator: the order does not matter.
        for pool in BUILT_IN[3:]:
            children.start(pool, ["pool", pool.replace("_", "-")])
        children.start("orchestrator", ["orchestrator", "--mode", "development"])
        for pool in BUILT_IN[:3]:
            children.start(pool, ["pool", pool])
        running = System(children, environment)
        running.wait(lambda found: found["status"] == "healthy")
        yield running


def test_status_tells_of_every_program(system: System) -> None:
    found = system.json("status")
    assert (found["status"], found["reasons"]) == ("healthy", [])
    assert {task["pool"] for task in found["tasks"]} >= {"orchestrator", "alpha", "portfolio", "risk", "execution"}
    assert all(task["age_s"] < 10 for task in found["tasks"])


def test_a_submitted_strategy_completes_with_signals(system: System) -> None:
    result = system.json("submit", str(EXAMPLES / "momentum.yaml"))
    assert result["status"] == "completed"
    assert {each["symbol"] for each in result["signals"]} == {"AAPL", "GOOGL", "IBM", "MSFT"}
    assert result["risk_metrics"]["var_95"] > 0


def test_a_run_trades_on_what_a_feed_publishes(system: System) -> None:
    run_id = system.json("submit", str(EXAMPLES / "momentum.yaml"), "--start")["run_id"]
    dates = ("--start", "2012-01-03", "--end", "2012-01-31")
    fed = system.json("feed", "sample", "--symbols", "AAPL,GOOGL,IBM,MSFT", *dates)
    assert (fed["slices"], fed["rows"], fed["synthetic"]) == (20, {"bars": 80}, False)
    assert [each["run_id"] for each in system.status()["runs"]] == [run_id]
    stopped = system.finagent("stop", run_id, "--wait", "0.5")
    assert (stopped.returncode, stopped.stdout.partition(";")[0]) == (0, f"run {run_id} is stopped")
    assert "canceled with the next slice" in stopped.stdout, "the feed has ended: no slice follows"
    assert system.status()["runs"] == []


def test_a_kill_switch_counts_at_once_where_a_feed_waits(system: System) -> None:
    run = system.json("submit", str(EXAMPLES / "momentum.yaml"), "--start")
    account = run["account_id"]
    refused = system.finagent("kill-switch", "on", "acct-nobody", "--reason", "looks wrong")
    assert (refused.returncode, "unknown account 'acct-nobody'" in refused.stderr) == (1, True)
    # A day of event time in two days: the feed publishes the first slice and then waits.
    paced = ["feed", "sample", "--symbols", "AAPL,GOOGL,IBM,MSFT", "--start", "2012-02-01", "--speed", "0.5", "--json"]
    with feeding(system, paced):
        system.wait(lambda found: any(str(task["slice"]).startswith("13281") for task in found["tasks"]))
        (halted,) = system.json("kill-switch", "on", account, "--reason", "looks wrong", "--wait", "20")
        assert (halted["account_id"], halted["pending"], halted["active"]) == (account, False, True)
        assert [(e["account_id"], e["reason"]) for e in system.status()["halted"]] == [(account, "looks wrong")]
        (released,) = system.json("kill-switch", "off", "--all", "--reason", "looked into", "--wait", "20")
        assert (released["account_id"], released["pending"], released["active"]) == (account, False, False)
        stopped = system.json("stop", run["run_id"], "--wait", "20")
        assert (stopped["pending"], stopped["canceled"]) == (False, 0)


@contextmanager
def feeding(system: System, arguments: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """Run a feed until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "infra.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | system.environment,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)


def test_topics_tell_what_is_on_the_log(system: System) -> None:
    found = {each["topic"]: each for each in system.json("topics")}
    assert "BarBlock" in found["bars"]["carries"]
    assert found["workflows"]["records"] > 0
    assert found["bars.dlq"]["records"] == 0


def test_an_interrupted_feed_ends_between_transactions(system: System) -> None:
    arguments = ["feed", "synthetic:7", "--symbols", "A", "--speed", "1", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "infra.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | system.environment,
    )
    system.wait(lambda found: any(task["handled"].get("ticks") for task in found["tasks"]))
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    assert json.loads(out)["interrupted"] is True


def test_sigterm_drains_every_program(system: System) -> None:
    running = dict(system.children.running)
    for process in running.values():
        process.send_signal(signal.SIGTERM)
    codes = {name: process.wait(20) for name, process in running.items()}
    system.children.running.clear()
    assert codes == dict.fromkeys(running, 0)
    assert "no orchestrator task is alive" in system.status()["reasons"]


@pytest.mark.parametrize(
    ("pool", "words"), [("dta", "Unknown pool 'dta', expected one of data, alpha"), ("data", "needs Kafka")]
)
def test_an_unknown_pool_and_a_missing_kafka_are_one_line(pool: str, words: str) -> None:
    done = finagent(["pool", pool], {"FINAGENT_KAFKA__BOOTSTRAP": ""})
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("error: ")
    assert words in done.stderr
