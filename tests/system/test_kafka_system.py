"""The whole system in separate processes on real Kafka and Redis, undisturbed and under kill -9."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.facade import FinAgentOrchestrator
from orchestrator.market_log import closed_slices, rows_of
from orchestrator.replay import Replay
from orchestrator.settings import load
from orchestrator.wiring import pools_of
from schemas import KillSwitchChanged, OrderDenied, OrderFilled, PositionsUpdated, SetKillSwitch, Signal, SubmitOrder
from streams.broker import Broker
from streams.ids import derive_id
from streams.record import Envelope, Event, Record, TopicPartition
from streams.tail import tail
from tests.system.cluster import DECISIONS, Cluster, cluster, decisions, half_year, on, rotation, run

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(240)]
ROOT = Path(__file__).parents[2]


async def reference() -> dict[str, bytes]:
    """Return the decisions of the embedded run."""
    client = FinAgentOrchestrator(settings=load(overrides={"log_level": "WARNING"}, environ={}))
    await client.initialize()
    try:
        return decisions(await run(client, half_year()))
    finally:
        await client.shutdown()


async def test_kill_9_of_every_pool_loses_and_doubles_nothing(
    kafka_bootstrap: str, redis_url: str, prefix: str, tmp_path: Path
) -> None:
    expected = await reference()
    settings = on(kafka_bootstrap, redis_url, prefix, account=2, instrument=2)
    async with cluster(settings, tmp_path) as system:
        await system.ready()
        killed = {40: ["alpha", "execution"], 80: ["portfolio", "risk"]}
        events = await run(system.client, half_year(), {n: lambda p=p: _restart(system, p) for n, p in killed.items()})
    found = decisions(events)
    assert len(events) == len(found), "a decision stands on the log twice"
    assert found == expected, "the same decisions, byte for byte, as the undisturbed embedded run with one partition"
    assert sum(isinstance(event.message, OrderFilled) for event in events) > 50


def _restart(system: Cluster, pools: list[str]) -> None:
    for pool in pools:
        system.children.kill(pool)
    for pool in pools:
        system.start(pool)


def word(active: bool, number: int) -> SetKillSwitch:
    """Return a command whose id is the same in every run."""
    account = "acct-rotation"
    return SetKillSwitch(workflow_id=account, account_id=account, active=active, reason="a test", ts_event=number)


async def halted(client: FinAgentOrchestrator, disturb: Callable[[], None] | None = None) -> list[Event]:
    """Trade 45 days with a halt from the 16th and a release from the 31st; disturb the system on each of them."""
    words = {15: word(True, 1), 30: word(False, 2)}
    feed, control = await client.feed(), client.client
    async with tail(client.broker, client.serde, DECISIONS) as followed:
        await client.start_strategy(rotation(), initial_cash=100_000, check_history=False, run_id="rotation")
        for number, slice_ in enumerate(half_year()[:45]):
            if number in words:
                said = await control.submit(words[number])
                await control.until(lambda said=said: said in control.words, "the word on the log")
            await feed.publish([slice_])
            if number in words and disturb is not None:
                await followed.poll(0.05)
                disturb()
        await followed.slice_done(feed.state.last_slice, client.partitions, 180)
    return followed.events


async def replayed(client: FinAgentOrchestrator) -> dict[str, bytes]:
    """Return what one process decides on the slices of the log."""
    found: dict[str, bytes] = {}

    def note(topic: str, event: Event) -> None:
        if topic in DECISIONS:
            found[f"{topic} {event.envelope.message_id}"] = client.serde.encode(event.message)

    replay = Replay(pools_of(client.settings), [client.client.runs["rotation"]], note)
    async for work in closed_slices(client.broker, client.serde):
        replay.slice(rows_of(work.events), work.switches, ts=work.slice, active=work.runs)
    return found


async def test_a_halt_decides_the_same_embedded_on_kafka_under_kill_9_and_replayed(
    kafka_bootstrap: str, redis_url: str, prefix: str, tmp_path: Path
) -> None:
    embedded = FinAgentOrchestrator(settings=load(overrides={"log_level": "WARNING"}, environ={}))
    await embedded.initialize()
    try:
        expected = decisions(await halted(embedded))
        assert await replayed(embedded) == expected
    finally:
        await embedded.shutdown()
    settings = on(kafka_bootstrap, redis_url, prefix, account=2, instrument=2)
    async with cluster(settings, tmp_path) as system:
        await system.ready()
        events = await halted(system.client, lambda: _restart(system, ["risk"]))
        assert await replayed(system.client) == expected
    assert len(events) == len(decisions(events)), "a decision stands on the log twice"
    assert decisions(events) == expected
    changes = [event.message.active for event in events if isinstance(event.message, KillSwitchChanged)]
    assert changes == [True, False]
    denied = [event.message for event in events if isinstance(event.message, OrderDenied)]
    days = [max(row.ts_event for row in rows) for rows in half_year()[:45]]
    assert {days.index(denial.ts_event) for denial in denied if denial.code == "KILL_SWITCH"} <= set(range(15, 30))
    ordered = {days.index(event.message.ts_event) for event in events if isinstance(event.message, SubmitOrder)}
    assert ordered & set(range(15))
    assert not ordered & set(range(15, 30))
    assert ordered & set(range(30, 45))


async def test_no_order_appears_while_risk_is_stopped(
    kafka_bootstrap: str, redis_url: str, prefix: str, tmp_path: Path
) -> None:
    settings = on(kafka_bootstrap, redis_url, prefix)
    slices = half_year()[:30]
    async with cluster(settings, tmp_path, leave_out=["risk"]) as system:
        feed = await system.client.feed()
        async with tail(system.client.broker, system.client.serde, DECISIONS) as followed:
            await system.client.start_strategy(rotation(), initial_cash=100_000, check_history=False, run_id="rotation")
            await feed.publish(slices)
            # Alpha needs market data alone and runs ahead; the others wait for risk on the first slice.
            topics = {"signals", "positions"}
            await followed.until(lambda: _topics(followed.events) >= topics, 60, "the first slice's positions")
            await followed.until(lambda: _signals(followed.events) == 4 * 25, 60, "every signal")
            assert _topics(followed.events) == topics
            system.start("risk")
            await followed.slice_done(feed.state.last_slice, system.client.partitions, 120)
            assert any(isinstance(event.message, SubmitOrder) for event in followed.events)


def _topics(events: list[Event]) -> set[str]:
    return {event.record.topic for event in events}


def _signals(events: list[Event]) -> int:
    return sum(isinstance(event.message, Signal) for event in events)


async def test_a_malformed_signal_is_dead_lettered_and_the_pool_goes_on(
    kafka_bootstrap: str, redis_url: str, prefix: str, tmp_path: Path
) -> None:
    settings = on(kafka_bootstrap, redis_url, prefix)
    async with cluster(settings, tmp_path) as system:
        await system.ready()
        broker = system.client.broker
        envelope = Envelope(derive_id("bad", "test"), "Signal", "test", 1, "test", "test")
        async with broker.reader(await _ends(broker, "signals.dlq")) as letters:
            await broker.publish([Record("signals", "account", b"\xc3\x01 not avro", envelope.headers())])
            found = []
            while not found:
                found = list(await letters.poll(1.0))
            headers = dict(found[0].headers)
            assert found[0].value == b"\xc3\x01 not avro"
            assert b"no schema has the fingerprint" in headers["dlq_reason"]
            assert headers["dlq_topic"].decode() == "signals"
            events = await run(system.client, half_year()[:20])
            assert any(isinstance(event.message, PositionsUpdated) for event in events)


async def _ends(broker: Broker, topic: str) -> dict[TopicPartition, int]:
    counts = await broker.topics()
    return await broker.ends([TopicPartition(topic, number) for number in range(counts[topic])])


def test_demo_through_kafka_equals_the_embedded_demo(kafka_bootstrap: str, redis_url: str, tmp_path: Path) -> None:
    embedded = _demo(tmp_path)
    remote = _demo(tmp_path, "--kafka", kafka_bootstrap, "--redis", redis_url)
    assert kafka_bootstrap in remote["broker"]
    for key in ("bars", "ticks", "orders", "fills", "denials", "final_equity", "performance_metrics"):
        assert remote[key] == embedded[key], key
    for task, handled in remote["rows"]["handled"].items():
        dead = remote["rows"]["dead_letters"][task]
        assert handled["ticks"] + dead.get("ticks", 0) == remote["rows"]["produced"]["ticks"] == remote["ticks"], task
    check = [sys.executable, str(ROOT / "tests/system/independent_check.py"), kafka_bootstrap]
    check += [str(ROOT / "schemas/avsc"), "acct-demo-daily", "100000", remote["prefix"]]
    found = json.loads(subprocess.run(check, check=True, capture_output=True, text=True, timeout=60).stdout)
    assert found["final_equity"] == pytest.approx(remote["final_equity"], abs=1e-6)
    assert found["ticks"] == remote["ticks"]
    assert found["counts"]["fills"]["OrderFilled"] == remote["fills"]
    assert found["counts"]["orders"]["SubmitOrder"] == remote["orders"]
    assert (
        found["counts"]["steps"]["RunStep"] == found["counts"]["results"]["StepCompleted"] == remote["workflow_steps"]
    )


def _demo(folder: Path, *options: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "infra.cli", "demo", "--json", *options]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=180, cwd=folder)
    return json.loads(done.stdout.splitlines()[-1])
