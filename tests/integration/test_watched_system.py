"""Health, metrics and the processes' own pages of a system in processes on real Kafka."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from infra.observability.log_figures import LogFigures
from infra.server.metrics import metrics_text
from orchestrator.facade import FinAgentOrchestrator
from orchestrator.heartbeat import SEEN
from orchestrator.settings import Settings
from tests.dataplane import sample
from tests.system.cluster import Cluster, cluster, on, rotation

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(240)]
STRICT = {"stall_degraded_s": 1.0, "stall_critical_s": 4.0}


def strict(settings: Settings) -> Settings:
    observability = settings.observability.model_copy(update=STRICT)
    return settings.model_copy(update={"observability": observability})


async def until(client: FinAgentOrchestrator, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Ask for health until it is as expected; return it."""
    health: dict[str, Any] = {}
    try:
        async with asyncio.timeout(60):
            while True:
                health = await client.get_health_status()
                if holds(health):
                    return health
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError((health["status"], health["reasons"])) from None


def series(text: bytes) -> dict[tuple[str, ...], float]:
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        for each in family.samples:
            found[(each.name, *(f"{k}={v}" for k, v in sorted(each.labels.items())))] = each.value
    return found


async def test_a_stopped_pool_is_named_and_one_scrape_shows_the_system(
    kafka_bootstrap: str, redis_url: str, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("FINAGENT_OBSERVABILITY__METRICS_PORT", str(port))
    monkeypatch.setenv("FINAGENT_OBSERVABILITY__LOG_FORMAT", "json")
    settings = strict(on(kafka_bootstrap, redis_url, prefix))
    async with cluster(settings, tmp_path, leave_out=("transaction_cost",)) as system:
        await until(system.client, lambda health: len(health["reasons"]) == 1)
        await _traded(system)
        text = await metrics_text(system.client, LogFigures())
        await _check_scrape(system, text)
        await _check_own_pages(system, tmp_path)
        await _check_stall(system)
    for name in ("alpha", "orchestrator"):
        lines = (tmp_path / f"{name}.log").read_text().splitlines()
        assert lines
        assert all(json.loads(line)["level"] for line in lines)
        assert "metrics of this process" in lines[0] + lines[-1] + "".join(lines)


async def _traded(system: Cluster) -> None:
    """Trade a month, and wait until every task has handled it: a system at rest has no lag."""
    await system.client.start_strategy(rotation(), initial_cash=100_000, check_history=False, run_id="rotation")
    feed = await system.client.feed()
    slices = sample(("AAPL", "GOOGL", "IBM", "MSFT"), "2012-01-03", "2012-01-31")[1]
    await feed.publish(slices[:-1])

    def at_rest(health: dict[str, Any]) -> bool:
        told = {each["task"]: each["slice"] for each in health["tasks"] if each["slice"] >= 0}
        ends = {slice_ == feed.state.last_slice for slice_ in told.values()}
        return len(told) == 4 and ends == {True} and not any(_data_lag(each) for each in health["tasks"])

    await until(system.client, at_rest)
    # Waiting reports of the last slice are no standstill, however long the feed is quiet.
    await asyncio.sleep(STRICT["stall_degraded_s"] * 2)
    assert len((await system.client.get_health_status())["reasons"]) == 1


def _data_lag(each: dict[str, Any]) -> int:
    return sum(
        count for place, count in each["lag"].items() if place.startswith(("ticks", "bars", "commands", "steps"))
    )


async def _check_scrape(system: Cluster, text: bytes) -> None:
    found = series(text)
    for pool in ("alpha", "portfolio", "risk", "execution"):
        labels = (f"pool={pool}", f"task={pool}.0")
        assert found[("finagent_messages_handled_total", *labels, "topic=bars")] == 4 * 19
        assert found[("finagent_lag_offsets", *labels, "topic=bars")] == 0
        assert found[("finagent_transactions_total", "outcome=committed", *labels)] > 0
    [orchestrator] = [key for key in found if key[0] == "finagent_messages_handled_total" and "topic=commands" in key]
    assert found[orchestrator] == 1
    assert found[("finagent_active_strategies",)] == 1
    processes = [key[-1] for key in found if key[0] == "finagent_process_memory_bytes"]
    assert len(processes) == len(set(processes))
    # That of a killed one may still be there for a while.
    running = {str(process.pid) for process in system.children.running.values()}
    assert running <= {label.rpartition(":")[2] for label in processes}, "one series for each process"


async def _check_own_pages(system: Cluster, folder: Path) -> None:
    pages = {}
    for name in system.children.running:
        told = [json.loads(line)["message"] for line in (folder / f"{name}.log").read_text().splitlines()]
        [url] = [message.split(": ", 1)[1] for message in told if message.startswith("metrics of this process")]
        pages[name] = series(await asyncio.to_thread(_get, url))
    assert pages["alpha"][("finagent_messages_handled_total", "pool=alpha", "task=alpha.0", "topic=bars")] == 4 * 19
    assert not any("pool=alpha" in key for key in pages["risk"])
    assert any("pool=orchestrator" in key for key in pages["orchestrator"])


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        found: bytes = answer.read()
    return found


async def _check_stall(system: Cluster) -> None:
    """Kill risk: it is missed; the venue, which waits for it, is named with the time since which it stands still."""
    system.children.kill("risk")
    feed = await system.client.feed()
    slices = sample(("AAPL", "GOOGL", "IBM", "MSFT"), "2012-02-01", "2012-02-10")[1]
    await feed.publish(slices)

    def stands_still(health: dict[str, Any]) -> bool:
        told = [each for each in health["reasons"] if each.startswith("execution.0 has not moved since 20")]
        return health["status"] == "critical" and any("of bars" in each for each in told)

    # Another task may be the first to be critical.
    await until(system.client, stands_still)
    await until(system.client, lambda health: "no risk task is alive" in health["reasons"])
    system.start("risk")
    await until(system.client, lambda health: len(health["reasons"]) == 1)


async def test_a_pool_that_hangs_is_missed_and_one_that_ends_on_request_is_not(
    kafka_bootstrap: str, redis_url: str, prefix: str, tmp_path: Path
) -> None:
    settings = on(kafka_bootstrap, redis_url, prefix)
    others = ("data", "alpha", "portfolio", "risk", "execution")
    async with cluster(settings, tmp_path, leave_out=(*others, "orchestrator")) as system:
        name = "transaction_cost"
        await until(system.client, lambda health: f"no {name}.steps task is alive" not in health["reasons"])
        assert await system.client.store.scan(SEEN) == [f"{SEEN}{name}.steps"]
        pid = system.children.running[name].pid
        os.kill(pid, signal.SIGSTOP)
        await until(system.client, lambda health: f"no {name}.steps task is alive" in health["reasons"])
        os.kill(pid, signal.SIGCONT)
        await until(system.client, lambda health: f"no {name}.steps task is alive" not in health["reasons"])
        system.children.stop()
        assert await system.client.store.scan(SEEN) == []
