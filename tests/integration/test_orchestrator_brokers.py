"""An orchestrator on three brokers, one of which is killed while it works, and comes back."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from infra.services import start_kafka
from orchestrator.settings import Settings
from tests.integration.orchestrator_world import World, command, settings_of, step, world_of
from tests.services import local_kafka

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]
RESTART_S = 120
"""How long it may take until work goes on, restarts of the orchestrator included."""


async def leader_of(settings: Settings, topic: str) -> int:
    """Return the node that leads partition 0 of a topic."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap)
    await admin.start()
    try:
        (described,) = await admin.describe_topics([settings.kafka.prefix + topic])
        return next(each["leader"] for each in described["partitions"] if each["partition"] == 0)
    finally:
        await admin.close()


async def kept_running(world: World, stop: asyncio.Event, ends: list[int]) -> None:
    """Start the orchestrator again whenever it ends by itself, as a supervisor does."""
    while True:
        process = await world.start()
        ended, stopped = asyncio.ensure_future(process.wait()), asyncio.ensure_future(stop.wait())
        await asyncio.wait([ended, stopped], return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            process.kill()
            return
        ends.append(ended.result())


async def test_work_goes_on_after_the_leader_of_its_partitions_is_killed(tmp_path: Path) -> None:
    with local_kafka(tmp_path, brokers=3) as service:
        settings = settings_of(service.bootstrap, "b.", partitions=1, replication=3)
        async with world_of(settings) as world:
            ends, stop = list[int](), asyncio.Event()
            running = asyncio.create_task(kept_running(world, stop, ends))
            await carried_out(world, "before")
            node = await leader_of(settings, "commands")
            killed = next(broker for broker in service.brokers if broker.node_id == node)
            os.kill(killed.pid, signal.SIGKILL)
            began = time.monotonic()
            await carried_out(world, "during")
            print(f"goes on after {time.monotonic() - began:.1f} s; ended by itself with {ends}")
            await asyncio.to_thread(start_kafka, tmp_path, 3)
            await carried_out(world, "after")
            assert all(code != 0 for code in ends)
            assert all(len(ids) == 1 for ids in world.ids.values())
            stop.set()
            await running


async def carried_out(world: World, name: str) -> None:
    """Run a workflow of two steps."""
    async with asyncio.timeout(RESTART_S):
        await world.say(command(name, step("a"), step("b", "a")))
        await world.answer(await world.asked(name, "a"))
        await world.answer(await world.asked(name, "b"))
        assert (await world.ended(name)).status == "completed"
