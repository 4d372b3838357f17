"""`finagent policies`: what was trained and may decide."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from infra.cli.connection import connected, make_topics, speaking
from infra.cli.options import Config, Json, Kafka, Prefix, settings_of
from infra.cli.output import as_json, say, table
from orchestrator.policies import policies_of, publish
from orchestrator.settings import Settings
from rl.publishing import publication
from rl.serving import ServedPolicy
from rl.weights import sha256
from schemas import PolicyPublished
from streams.clock import WallClock
from streams.record import rfc3339

policies = typer.Typer(help="Trained policies: list them, look at one, publish one.", no_args_is_help=True)
Id = Annotated[str, typer.Option("--id", help="policy_id; default: the training's.")]


@policies.command("list")
def listed(config: Config = None, kafka: Kafka = None, prefix: Prefix = None, json: Json = False) -> None:
    """List the policies on rl.policies that may decide, the newest version of each."""
    found = asyncio.run(_found(settings_of(config, kafka, None, prefix)))
    newest = {policy.policy_id: policy for policy in sorted(found, key=lambda each: each.version)}
    rows = [_row(newest[name]) for name in sorted(newest)]
    if json:
        as_json(rows)
    elif not rows:
        say("no policy was published")
    else:
        table("Policies", list(rows[0]), [list(row.values()) for row in rows])


@policies.command()
def show(
    file: Annotated[Path, typer.Argument(help="A policy's file.")],
) -> None:
    """Print what a policy's file says of itself, once it was checked."""
    data = file.read_bytes()
    served = ServedPolicy.read(data)
    as_json({"sha256": sha256(data), "bytes": len(data), "algorithm": served.policy.algorithm, **served.metadata})


@policies.command("publish")
def published(
    file: Annotated[Path, typer.Argument(help="A policy's file.")],
    policy_id: Id = "",
    config: Config = None,
    kafka: Kafka = None,
    prefix: Prefix = None,
    json: Json = False,
) -> None:
    """Publish a policy: runs that name it without a version are decided by it from the next slice on."""
    data = file.read_bytes()
    made = publication(data, policy_id or "policy", 1, 0)
    policy = asyncio.run(_publish(settings_of(config, kafka, None, prefix), data, policy_id or made.training_id))
    if json:
        as_json(_row(policy))
    else:
        say(f"policy {policy.policy_id} is at version {policy.version}, SHA-256 {policy.sha256}")


async def _found(settings: Settings) -> list[PolicyPublished]:
    async with connected(settings) as plain:
        await make_topics(settings, plain)
        broker, serde = await speaking(settings, plain)
        return await policies_of(broker, serde)


async def _publish(settings: Settings, data: bytes, policy_id: str) -> PolicyPublished:
    async with connected(settings) as plain:
        await make_topics(settings, plain)
        broker, serde = await speaking(settings, plain)
        return await publish(broker, serde, WallClock(), data, policy_id)


def _row(policy: PolicyPublished) -> Mapping[str, Any]:
    told = policy.metadata
    return {
        "policy_id": policy.policy_id,
        "version": policy.version,
        "algorithm": policy.algorithm,
        "instruments": ", ".join(told.get("instruments", [])),
        "data": f"{told.get('source', '-')} ({told.get('data', '-')})",
        "seed": told.get("seed"),
        "sha256": policy.sha256[:12],
        "published": rfc3339(policy.ts_event),
    }
