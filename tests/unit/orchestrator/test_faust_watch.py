"""The watch on progress: what stands still for too long, and what does not."""

from __future__ import annotations

import pytest

from orchestrator.faust_watch import Watch
from streams.errors import StoodStill
from streams.record import TopicPartition

COMMANDS, RESULTS = TopicPartition("commands", 0), TopicPartition("results", 1)


class Engine:
    """What the watch sees of an orchestrator."""

    def __init__(self) -> None:
        self.settled = True
        self.at = {COMMANDS: (5, 5), RESULTS: (0, 0)}
        self.silent = False

    async def positions(self) -> dict[TopicPartition, tuple[int, int]]:
        if self.silent:
            raise OSError("no broker")
        return self.at

    def watch(self) -> Watch:
        return Watch(lambda: self.settled, self.positions, still_s=60)


async def test_an_idle_orchestrator_may_stand_still() -> None:
    watch = Engine().watch()
    for now in range(0, 600, 50):
        await watch.look(now)


async def test_one_that_reads_on_is_left_alone_however_far_behind() -> None:
    engine = Engine()
    watch = engine.watch()
    for now in range(0, 600, 50):
        engine.at[COMMANDS] = (now, 10_000)
        await watch.look(now)


async def test_an_input_that_is_not_read_on_while_others_are_is_told() -> None:
    engine = Engine()
    watch = engine.watch()
    for now in (0, 30, 59):
        engine.at = {COMMANDS: (7, 8 + now), RESULTS: (now, 100)}
        await watch.look(now)
    with pytest.raises(StoodStill, match=r"commands\[0\] was not read on from 7 for 60 s"):
        await watch.look(60)


async def test_a_group_that_does_not_settle_and_a_broker_that_does_not_answer_are_told() -> None:
    for name, reason in (("settled", "has not shared out"), ("silent", "has not said")):
        engine = Engine()
        setattr(engine, name, name == "silent")
        watch = engine.watch()
        await watch.look(0)
        with pytest.raises(StoodStill, match=reason):
            await watch.look(61)


async def test_a_rebalance_in_between_begins_anew() -> None:
    engine = Engine()
    watch = engine.watch()
    engine.settled = False
    await watch.look(0)
    engine.settled = True
    await watch.look(50)
    engine.settled = False
    await watch.look(70)
    await watch.look(120)
