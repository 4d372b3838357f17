"""`finagent broker`: real Kafka and Redis on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from infra.cli.exits import FAILED
from infra.cli.options import FOLDER, Json
from infra.cli.output import as_json, say, table
from infra.services import (
    KafkaService,
    RedisService,
    kafka_status,
    redis_status,
    start_kafka,
    start_redis,
    stop_kafka,
    stop_redis,
)
from infra.services.ports import HOST

broker = typer.Typer(help="Run real Kafka and Redis on this machine, without Docker.", no_args_is_help=True)
Folder = Annotated[Path, typer.Option("--folder", help="Keeps their data and state.")]
WithRedis = Annotated[bool, typer.Option("--redis/--no-redis", help="Redis too.")]


@broker.command()
def start(
    brokers: Annotated[int, typer.Option(help="1 or 3.")] = 1,
    folder: Folder = FOLDER,
    redis: WithRedis = True,
    json: Json = False,
) -> None:
    """Start what does not run yet, on the folder's earlier data, and return once all answer."""
    kafka = start_kafka(folder / "kafka", brokers)
    memory = start_redis(folder / "redis") if redis else None
    _show(kafka, memory, json)


@broker.command()
def stop(folder: Folder = FOLDER, redis: WithRedis = True, json: Json = False) -> None:
    """Stop them and keep their data; does nothing where none runs."""
    stop_kafka(folder / "kafka")
    if redis:
        stop_redis(folder / "redis")
    if json:
        _show(kafka_status(folder / "kafka"), redis_status(folder / "redis"), json)
    else:
        say(f"stopped; their data stay in {folder}")


@broker.command()
def status(folder: Folder = FOLDER, json: Json = False) -> None:
    """Tell what runs; exit code 1 where Kafka does not."""
    kafka, redis = kafka_status(folder / "kafka"), redis_status(folder / "redis")
    _show(kafka, redis, json)
    if kafka is None or not all(each.alive for each in kafka.brokers):
        raise typer.Exit(FAILED)


def _show(kafka: KafkaService | None, redis: RedisService | None, json: bool) -> None:
    if json:
        as_json({"kafka": _kafka(kafka), "redis": _redis(redis), "environment": exports(kafka, redis)})
        return
    nodes = kafka.brokers if kafka else ()
    rows = [(f"kafka {node.node_id}", f"{HOST}:{node.port}", str(node.pid), _state(node.alive)) for node in nodes]
    rows += [(redis.server, redis.url, str(redis.pid), _state(redis.alive))] if redis else []
    if not rows:
        say("no local Kafka or Redis was ever started here; start them with `finagent broker start`")
        return
    folder = kafka.folder.parent if kafka else "."
    table(f"Kafka {kafka.version if kafka else '-'} in {folder}", ("service", "address", "pid", "state"), rows)
    for name, value in exports(kafka, redis).items():
        say(f"export {name}={value}")


def exports(kafka: KafkaService | None, redis: RedisService | None) -> dict[str, str]:
    """Return the environment variables by which all programs find the services that run."""
    found = {}
    if kafka and any(node.alive for node in kafka.brokers):
        found["FINAGENT_KAFKA__BOOTSTRAP"] = kafka.bootstrap
    if redis and redis.alive:
        found["FINAGENT_REDIS__URL"] = redis.url
    return found


def _state(alive: bool) -> str:
    return "running" if alive else "stopped"


def _kafka(service: KafkaService | None) -> dict[str, Any] | None:
    if service is None:
        return None
    nodes = [vars(node) for node in service.brokers]
    running = all(node.alive for node in service.brokers)
    return {
        "bootstrap": service.bootstrap,
        "version": service.version,
        "folder": str(service.folder),
        "running": running,
        "brokers": nodes,
    }


def _redis(service: RedisService | None) -> dict[str, Any] | None:
    return None if service is None else vars(service)
