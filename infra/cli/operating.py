"""An operator's controls over a system on Kafka."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from infra.cli.connection import speaking
from orchestrator.client import Client
from orchestrator.controls import Operator
from orchestrator.settings import Settings
from orchestrator.wiring import partitions_of
from streams.broker import Broker
from streams.clock import WallClock
from streams.topics import COMMANDS


@asynccontextmanager
async def operator(settings: Settings, broker: Broker) -> AsyncIterator[Operator]:
    """Follow the control plane, and control it."""
    clock = WallClock()
    broker, serde = await speaking(settings, broker, [COMMANDS.name])
    async with Client.open(broker, serde, clock) as client:
        yield Operator(broker, serde, clock, partitions_of(settings), client)
