"""`finagent memory`: the memory agent as a process; reading what it keeps; building it again."""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated, Any

import typer

from agents.memory.digest import digest
from agents.memory.keys import event_key
from agents.memory.pool import build as build_pool
from agents.memory.reader import MAX_LIMIT, Memory, Wanted
from infra.cli.connection import PATIENCE_S, connected, make_topics, speaking
from infra.cli.connection import memory as remote_store
from infra.cli.exits import FAILED, task_failed
from infra.cli.feed_times import end_ns, start_ns
from infra.cli.options import Config, Json, Kafka, Prefix, Redis, need_kafka, settings_of
from infra.cli.output import as_json, say, table
from infra.cli.stopping import until_stopped
from orchestrator import remembering
from orchestrator.heartbeat import beat, beat_process
from orchestrator.load import MemoryWatch
from orchestrator.settings import Settings
from orchestrator.wiring import kinds_of, partitions_of, snapshots_of, store_of
from streams.clock import WallClock
from streams.errors import ConfigError
from streams.host import Host

log = logging.getLogger("finagent.cli")
memory = typer.Typer(help="Keep the shared memory on Redis, read it, or build it again.")
_COLUMNS = ("time", "type", "says", "id")


@memory.callback(invoke_without_command=True)
def keep(
    context: typer.Context, config: Config = None, kafka: Kafka = None, redis: Redis = None, prefix: Prefix = None
) -> None:
    """Keep the shared memory until SIGTERM or Ctrl-C, and answer workflow steps for memory_agent_pool."""
    if context.invoked_subcommand is not None:
        return
    settings = _settings(config, kafka, redis, prefix)
    need_kafka(settings)
    until_stopped(lambda stop: _keep(settings, stop))


@memory.command()
def query(
    strategy: Annotated[str | None, typer.Option(help="Events that name this strategy.")] = None,
    run: Annotated[str | None, typer.Option(help="Events that name this run.")] = None,
    account: Annotated[str | None, typer.Option(help="Events that name this account.")] = None,
    workflow: Annotated[str | None, typer.Option(help="Events that name this workflow.")] = None,
    order: Annotated[str | None, typer.Option(help="The life of an order.")] = None,
    symbol: Annotated[str | None, typer.Option(help="SYMBOL or SYMBOL.VENUE.")] = None,
    message_id: Annotated[str | None, typer.Option("--id", help="The event with this message id.")] = None,
    correlation: Annotated[str | None, typer.Option(help="Events of one chain: a run or a workflow.")] = None,
    cause: Annotated[str | None, typer.Option(help="What this message led to directly.")] = None,
    topic: Annotated[str | None, typer.Option(help="Events on this topic.")] = None,
    kind: Annotated[str | None, typer.Option(help="Messages of this type, for example OrderFilled.")] = None,
    since: Annotated[str, typer.Option(help="Happened at this ISO date or time, or later.")] = "",
    until: Annotated[str, typer.Option(help="Happened before this time, or up to this date.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=MAX_LIMIT, help="The newest so many.")] = 20,
    cursor: Annotated[str | None, typer.Option(help="Go on behind the event with this cursor.")] = None,
    config: Config = None,
    redis: Redis = None,
    prefix: Prefix = None,
    json: Json = False,
) -> None:
    """List events, newest recorded first; every option narrows them."""
    wanted = Wanted(
        message_id=message_id,
        correlation_id=correlation,
        causation_id=cause,
        strategy_id=strategy,
        run_id=run,
        account_id=account,
        workflow_id=workflow,
        order_id=order,
        symbol=symbol,
        topic=topic,
        kind=kind,
        start=start_ns(since),
        end=end_ns(until),
        limit=limit,
        cursor=cursor,
    )
    found = asyncio.run(_read(_settings(config, None, redis, prefix), wanted))
    if json:
        as_json(found)
    elif found:
        rows = [(each["time"], each["type"], each["says"], each["message_id"]) for each in found]
        table(f"{len(found)} events, newest recorded first", _COLUMNS, rows)
        if len(found) == limit:
            say(f"older ones: --cursor {found[-1]['cursor']}")
    else:
        say("no event is kept that fits")


@memory.command()
def rebuild(
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit code 1 where it would.")] = False,
    config: Config = None,
    kafka: Kafka = None,
    redis: Redis = None,
    prefix: Prefix = None,
    json: Json = False,
) -> None:
    """Drop what is kept and read the topics again, or check that this would give the same."""
    settings = _settings(config, kafka, redis, prefix)
    found = asyncio.run(_check(settings) if check else _rebuild(settings))
    if json:
        as_json(found)
    elif check:
        say(f"in Redis {found['digest']}\nfrom log {found['from_log']}\n{'equal' if found['equal'] else 'NOT EQUAL'}")
    else:
        say(f"built again, {found['events']:,} events; digest {found['digest']}")
    if not found.get("equal", True):
        raise typer.Exit(FAILED)


def _settings(config: Any, kafka: str | None, redis: str | None, prefix: str | None) -> Settings:
    settings = settings_of(config, kafka, redis, prefix)
    if not settings.redis.url:
        raise ConfigError(
            "the memory is kept on Redis and the settings name none: start one with `finagent broker start` and add "
            "--redis local, or give --redis URL or FINAGENT_REDIS__URL"
        )
    return settings


async def _keep(settings: Settings, stop: asyncio.Event) -> None:
    """Run the agent and the pool's tasks, with stores of their own: each reconnects its own way."""
    async with connected(settings, stop, PATIENCE_S) as broker, remote_store(settings) as store:
        clock, watch = WallClock(), MemoryWatch(settings.observability.high_memory_gb)
        kinds = kinds_of(build_pool(), Memory(store))
        await make_topics(settings, broker, kinds, stop, PATIENCE_S)
        broker, serde = await speaking(settings, broker, None, [kind.name for kind in kinds], stop, PATIENCE_S)
        kept = store_of(settings)
        agent = remembering.memory_agent(settings.memory, broker, kept, clock, serde)
        snapshots = snapshots_of(settings, store)
        host = Host(broker, kinds, partitions_of(settings), clock, serde, stop=stop, snapshots=snapshots)
        told = agent.availability
        beats = [
            asyncio.create_task(beat(host, store, clock, memory=watch, availability=told)),
            asyncio.create_task(
                beat_process("memory", lambda: agent.handled, store, clock, stop, lag=agent.behind, availability=told)
            ),
        ]
        work = [asyncio.create_task(host.run()), asyncio.create_task(agent.run(stop))]
        try:
            await asyncio.gather(*work)
        except Exception as error:
            raise task_failed(error) from error
        finally:
            stop.set()
            await asyncio.gather(*work, *beats, return_exceptions=True)
            await kept.stop()
        log.info("the memory agent has stopped")


async def _read(settings: Settings, wanted: Wanted) -> list[dict[str, Any]]:
    store = store_of(settings)
    try:
        await store.start()
        return await Memory(store).query(wanted)
    finally:
        await store.stop()


async def _rebuild(settings: Settings) -> dict[str, Any]:
    store = store_of(settings)
    async with connected(settings) as broker:
        broker, serde = await speaking(settings, broker, ())
        try:
            await remembering.rebuild(settings.memory, broker, store, WallClock(), serde)
            return {"events": len(await store.scan(event_key(""))), "digest": await digest(store)}
        finally:
            await store.stop()


async def _check(settings: Settings) -> dict[str, Any]:
    store = store_of(settings)
    async with connected(settings) as broker:
        broker, serde = await speaking(settings, broker, ())
        try:
            found, expected = await remembering.check(settings.memory, broker, store, WallClock(), serde)
            return {"digest": found, "from_log": expected, "equal": found == expected}
        finally:
            await store.stop()
