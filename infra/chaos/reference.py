"""The undisturbed run: the same input in one process, on a log in memory."""

from __future__ import annotations

from collections.abc import Sequence

from infra.chaos.market import CASH, Market, strategies
from infra.chaos.reading import Log, read_log
from orchestrator.facade import FinAgentOrchestrator
from orchestrator.settings import load
from schemas import Command
from streams.tail import tail

CHUNK = 10
"""Slices that the feed writes in one transaction."""
_LIMIT_S = 3600.0


async def undisturbed(market: Market, commands: Sequence[Command]) -> Log:
    """Trade the market and run the commands without Kafka; return what that came to."""
    client = FinAgentOrchestrator(settings=load(overrides={"log_level": "WARNING"}, environ={}))
    await client.initialize()
    try:
        await start_runs(client, market)
        feed = await client.feed()
        async with tail(client.broker, client.serde, ("fills",)) as followed:
            for first in range(0, len(market.slices), CHUNK):
                await feed.publish(market.slices[first : first + CHUNK])
                # The log in memory takes what it is given: the slices are to be done as they come.
                await followed.slice_done(feed.state.last_slice, client.partitions, _LIMIT_S)
        for command in commands:
            await client.client.submit(command)
        for command in commands:
            await client.client.wait(command.workflow_id, _LIMIT_S)
        return await read_log(client.broker, client.serde)
    finally:
        await client.shutdown()


async def start_runs(client: FinAgentOrchestrator, market: Market) -> None:
    """Publish what is known of the instruments, and start the runs under names that are the same each time."""
    await (await client.feed()).reference_data(market.instruments)
    for account_id, strategy in strategies(market).items():
        await client.start_strategy(
            strategy, initial_cash=CASH, account_id=account_id, check_history=False, run_id=f"run-{account_id}"
        )
