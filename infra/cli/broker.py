"""`finagent broker`: real Kafka and Redis on this machine."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from infra.cli.exits import FAILED
from infra.cli.options import FOLDER, Config, Json, Kafka, Prefix, need_kafka, settings_of
from infra.cli.output import as_json, say, table
from infra.services import (
    KafkaService,
    RedisService,
    kafka_login,
    kafka_settings,
    kafka_status,
    redis_login,
    redis_settings,
    redis_status,
    start_kafka,
    start_redis,
    stop_kafka,
    stop_redis,
)
from infra.services.ports import HOST
from orchestrator.imports import imported_pool

CLIENT = "client"
SECURITY = "security"
"""The folder of certificates and passwords, beside those of the services."""

broker = typer.Typer(help="Run real Kafka and Redis on this machine, without Docker.", no_args_is_help=True)
Folder = Annotated[Path, typer.Option("--folder", help="Keeps their data and state.")]
Pools = Annotated[
    list[str] | None,
    typer.Option("--pool", metavar="MODULE:ATTR", help="An AgentPool of your own, with rights too; repeatable."),
]
WithRedis = Annotated[bool, typer.Option("--redis/--no-redis", help="Redis too.")]


@broker.command()
def start(
    brokers: Annotated[int, typer.Option(help="1 or 3.")] = 1,
    folder: Folder = FOLDER,
    redis: WithRedis = True,
    secure: Annotated[
        bool, typer.Option("--secure", help="With TLS, and a user with its own rights for each component.")
    ] = False,
    pools: Pools = None,
    config: Config = None,
    prefix: Prefix = None,
    json: Json = False,
) -> None:
    """Start what does not run yet, on the folder's earlier data, and return once all answer."""
    security = folder / SECURITY if secure else None
    kafka = start_kafka(folder / "kafka", brokers, security=security)
    memory = start_redis(folder / "redis", security=kafka.security) if redis else None
    if kafka.security is not None:
        from infra.security.provision import prepare_local

        settings = settings_of(config, None, None, prefix)
        asyncio.run(prepare_local(kafka, settings, [imported_pool(name) for name in pools or ()]))
    _show(kafka, memory, json)


@broker.command()
def acls(
    apply: Annotated[
        bool, typer.Option("--apply", help="Create missing topics and grant missing rights; needs an administrator.")
    ] = False,
    commands: Annotated[bool, typer.Option("--commands", help="As options of Kafka's own kafka-acls.")] = False,
    pools: Pools = None,
    config: Config = None,
    kafka: Kafka = None,
    prefix: Prefix = None,
    json: Json = False,
) -> None:
    """List the rights that each component needs on Kafka, no more; or grant them."""
    from infra.security.provision import prepare, rights

    settings = settings_of(config, kafka, None, prefix)
    custom = [imported_pool(name) for name in pools or ()]
    found = rights(settings, custom)
    if apply:
        need_kafka(settings)
        asyncio.run(prepare(settings, custom))
    if json:
        as_json([acl._asdict() for acl in found])
    elif commands:
        for acl in found:
            say(acl.command())
    else:
        rows = [(acl.principal, acl.operation, acl.resource, acl.name, acl.pattern.lower()) for acl in found]
        table("Rights of each component", ("user", "may", "on", "name", "pattern"), rows)
    if apply and not json:
        say(f"granted at {settings.kafka.bootstrap}")


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
        say(f"export {name}={shlex.quote(value)}")
    if kafka and kafka.security:
        say(f"each component has a user of its name, with its password in {kafka.security / 'passwords'}/NAME")


def exports(kafka: KafkaService | None, redis: RedisService | None) -> dict[str, str]:
    """Return the environment variables by which programs find the services that run, and prove who they are.

    On secure ones they are a client's; a pool takes the user and the file of its own name.
    """
    found: dict[str, str] = {}
    if kafka and any(node.alive for node in kafka.brokers):
        found |= {f"FINAGENT_KAFKA__{key.upper()}": value for key, value in kafka_settings(kafka).items()}
        found |= kafka_login(kafka, CLIENT)
    if redis and redis.alive:
        found |= {f"FINAGENT_REDIS__{key.upper()}": value for key, value in redis_settings(redis).items()}
        found |= redis_login(redis)
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
        "secure": service.security is not None,
        "brokers": nodes,
    }


def _redis(service: RedisService | None) -> dict[str, Any] | None:
    if service is None:
        return None
    shown = {key: value for key, value in vars(service).items() if key != "security"}
    return shown | {"secure": service.security is not None}
