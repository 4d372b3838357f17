"""A process that is paused past its session, and woken: it writes nothing more, and goes on as a member."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from streams.tail import tail
from tests.system.cluster import DECISIONS, cluster, decisions, half_year, lines, on, rotation
from tests.system.test_kafka_system import reference

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(240)]


async def test_a_process_that_was_paused_past_its_session_writes_nothing_and_goes_on_as_a_member(
    kafka_bootstrap: str, redis_url: str, prefix: str, tmp_path: Path
) -> None:
    expected, slices = await reference(), half_year()
    async with cluster(on(kafka_bootstrap, redis_url, prefix), tmp_path) as system:
        await system.ready()
        paused, client = system.children.running["risk"], system.client
        feed = await client.feed()
        async with tail(client.broker, client.serde, DECISIONS) as followed:
            await client.start_strategy(rotation(), initial_cash=100_000, check_history=False, run_id="rotation")
            await feed.publish(slices[:60])
            # In the middle of its work: the slices are there, and it has begun to answer them.
            seen = len(followed.events)
            await followed.until(lambda: len(followed.events) > seen + 20, 60, "decisions")
            paused.send_signal(signal.SIGSTOP)
            try:
                system.children.start("second", ["pool", "risk"])
                await followed.slice_done(feed.state.last_slice, client.partitions, 60)
                assert lines(system, "second", "risk.0: restored from")
            finally:
                paused.send_signal(signal.SIGCONT)
            # Whatever it was about to write is refused, or the group is quicker and takes the task away.
            system.children.kill("second")
            await feed.publish(slices[60:])
            await followed.slice_done(feed.state.last_slice, client.partitions, 120)
        assert len(lines(system, "risk", "risk.0: restored from")) == 2
    assert len(followed.events) == len(decisions(followed.events)), "a decision stands on the log twice"
    assert decisions(followed.events) == expected
