"""Slices: a phase waits for all it takes from, and nothing but the messages decides the order of work."""

from collections.abc import Sequence

import numpy as np
import pytest

from schemas import StrategyStarted
from streams.broker import partition_of
from streams.record import TopicPartition
from streams.slices import ROLES, Frontier, SliceInbox, Work
from tests.unit.streams.slice_logs import (
    ACCOUNTS,
    INSTRUMENTS,
    Log,
    Shown,
    drain,
    order,
    settled,
    shown,
    started,
)


def counts(partitions: int) -> dict[str, int]:
    return {"instrument": partitions, "account": partitions, "workflow": 1, "single": 1}


def inbox(role: str, partitions: int = 2, own: int = 0, frontier: Frontier | None = None) -> SliceInbox:
    runs = {"run-1": started("run-1"), "run-2": started("run-2", "value")}
    return SliceInbox(ROLES[role], own, counts(partitions), runs, frontier or Frontier())


def complete_log(role: str, pools: Sequence[str] = ("alpha", "value")) -> Log:
    """Write two slices for task 0 of a role, with two partitions and all that it waits for."""
    log = Log(counts(2))
    for ts in (10, 20):
        log.bars(ts, INSTRUMENTS)
        log.close_feed(ts, ["run-1", "run-2"])
        for own in range(2):
            log.close(TopicPartition("fills", 0), ts, "execution", own, "match")
            log.close(TopicPartition("orders", 0), ts, "risk", own, "control")
        log.close(TopicPartition("targets", 0), ts, "portfolio", 0, "construct")
        for pool in pools:
            log.close(TopicPartition("signals", 0), ts, pool, 0, "decide")
    taken = {name for phase in ROLES[role].phases for name in phase.takes}
    log.places = {
        place: events
        for place, events in log.places.items()
        if place.topic in taken and (role != "execution" or place.partition == 0)
    }
    return log


@pytest.mark.parametrize("role", sorted(ROLES))
def test_every_phase_of_every_slice_runs_once_all_channels_are_closed(role: str) -> None:
    works = drain(inbox(role), complete_log(role).arrivals(seed=1))
    phases = [phase.name for phase in ROLES[role].phases]
    assert [(work.phase.name if work.phase else None, work.slice) for work in works] == [
        (phase, ts) for ts in (10, 20) for phase in phases
    ]
    assert all(work.runs == ("run-1", "run-2") for work in works)


@pytest.mark.parametrize("role", sorted(ROLES))
def test_a_phase_waits_for_each_of_its_channels(role: str) -> None:
    log = complete_log(role)
    closings = [e for events in log.places.values() for e in events if "closes 20" in e.envelope.message_id]
    for missing in closings:
        works = drain(inbox(role), log.arrivals(seed=2, without=frozenset({missing.envelope.message_id})))
        takes = [missing.record.topic in phase.takes for phase in ROLES[role].phases]
        assert len(works) == len(takes) + takes.index(True), missing.envelope.message_id


@pytest.mark.parametrize("role", sorted(ROLES))
def test_everything_is_settled_exactly_once(role: str) -> None:
    log = complete_log(role)
    written = [event.envelope.message_id for events in log.places.values() for event in events]
    for seed in range(10):
        works = drain(inbox(role), log.arrivals(seed))
        assert sorted(name for work in works for name in settled(work)) == sorted(written)


@pytest.mark.parametrize("role", sorted(ROLES))
def test_the_order_of_arrival_decides_nothing(role: str) -> None:
    log = complete_log(role)
    expected = [shown(work) for work in drain(inbox(role), log.arrivals(seed=0))]
    for seed in range(1, 30):
        assert [shown(work) for work in drain(inbox(role), log.arrivals(seed))] == expected


@pytest.mark.parametrize("partitions", [1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_a_task_of_accounts_sees_one_order_of_bars_whatever_the_partitions(partitions: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    log = Log(counts(partitions))
    for ts in (10, 20, 30):
        log.bars(ts, rng.permutation(INSTRUMENTS).tolist())
        log.close_feed(ts)
    works = drain(inbox("alpha", partitions), log.arrivals(seed))
    expected = tuple(sorted(INSTRUMENTS))
    assert [shown(work) for work in works] == [
        ("decide", ts, tuple(f"{name}@{ts}" for name in expected)) for ts in (10, 20, 30)
    ]


def orders_seen(partitions: int, seed: int) -> dict[str, list[Shown]]:
    """Return what execution accepts per instrument, where risk's tasks write their orders in any interleaving."""
    rng, log = np.random.default_rng(seed), Log(counts(partitions))
    for ts in (10, 20):
        log.close_feed(ts)
        for own in rng.permutation(partitions).tolist():
            for account in (a for a in ACCOUNTS if partition_of(a, partitions) == own):
                for name in INSTRUMENTS:
                    for number in range(2):
                        place = TopicPartition("orders", partition_of(name, partitions))
                        log.write(place, order(name, account, ts), "risk", ts, f"{account} {name} {number}")
            for target in range(partitions):
                log.close(TopicPartition("orders", target), ts, "risk", own, "control")
    seen: dict[str, list[Shown]] = {name: [] for name in INSTRUMENTS}
    for own in range(partitions):
        mine = Log(log.counts)
        mine.places = {place: events for place, events in log.places.items() if place.partition == own}
        for work in drain(inbox("execution", partitions, own), mine.arrivals(seed)):
            for name in {getattr(event.message, "instrument_id", "") for event in work.events}:
                phase, at, ids = shown(work)
                seen[name].append((phase, at, tuple(each for each in ids if name in each)))
    return seen


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("partitions", [1, 3, 8])
def test_execution_sees_one_order_of_orders_whatever_the_partitions(partitions: int, seed: int) -> None:
    expected = orders_seen(1, 0)
    assert all(len(phases) == 2 and len(phases[0][2]) == 2 * len(ACCOUNTS) for phases in expected.values())
    assert orders_seen(partitions, seed) == expected


@pytest.mark.parametrize("role", sorted(ROLES))
@pytest.mark.parametrize("stop", range(1, 4))
def test_a_restart_goes_on_where_the_frontier_stands(role: str, stop: int) -> None:
    log = complete_log(role)
    whole = drain(inbox(role), log.arrivals(seed=0))
    for seed in range(5):
        first = inbox(role)
        works = list[Work]()
        for event in log.arrivals(seed):
            first.offer(event)
            while len(works) < stop and (work := first.next()) is not None:
                works.append(work)
        done = frozenset(name for work in works for name in settled(work))
        again = inbox(role, frontier=Frontier.model_validate_json(first.frontier.model_dump_json()))
        works += drain(again, log.arrivals(seed + 50, without=done))
        assert [shown(work) for work in works] == [shown(work) for work in whole]


def test_a_slice_waits_until_its_runs_are_known() -> None:
    log, runs = Log(counts(1)), dict[str, StrategyStarted]()
    log.bars(10, ["AAPL.XNAS"])
    log.close_feed(10, ["run-9"])
    waiting = SliceInbox(ROLES["alpha"], 0, counts(1), runs, Frontier())
    assert drain(waiting, log.arrivals(seed=0)) == []
    table = log.write(TopicPartition("strategies", 0), started("run-9"), "orchestrator", None, "run-9 started")
    waiting.offer(table)
    work = waiting.next()
    assert work is not None
    assert shown(work) == (None, None, ("run-9 started",))
    assert waiting.next() is None
    runs["run-9"] = started("run-9")
    following = waiting.next()
    assert following is not None
    assert (shown(following), following.runs) == (("decide", 10, ("AAPL.XNAS@10",)), ("run-9",))


def test_execution_knows_no_runs_and_waits_for_none() -> None:
    log = Log(counts(1))
    log.close_feed(10, ["run-9"])
    assert [shown(work) for work in drain(inbox("execution", 1), log.arrivals(0))] == [("match", 10, ())]


@pytest.mark.parametrize("seed", range(20))
def test_closings_of_pools_that_no_run_names_are_settled_and_forgotten(seed: int) -> None:
    log = complete_log("portfolio", ("alpha", "value", "idle"))
    works = drain(inbox("portfolio"), log.arrivals(seed))
    assert [work.slice for work in works] == [10, 10, 20, 20]
    written = {event.envelope.message_id for events in log.places.values() for event in events}
    left = written - {name for work in works for name in settled(work)}
    # The last one may come after its slice's work is done; the next slice settles it.
    assert left <= {f"idle.0 closes 20 on {TopicPartition('signals', 0)}"}
