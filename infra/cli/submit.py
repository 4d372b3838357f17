"""`finagent submit`: a strategy or a workflow from a YAML file."""

from __future__ import annotations

import asyncio
import json as jsonlib
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from agents.pool import AgentPool
from infra.cli.connection import connected, make_topics, speaking
from infra.cli.definition import Asked, Definition, command_of, overrides_of, read_definition
from infra.cli.options import Config, Json, Kafka, Prefix, Redis, need_kafka, settings_of
from infra.cli.output import as_json, say, table
from orchestrator.client import Client
from orchestrator.facade import FinAgentOrchestrator
from orchestrator.results import strategy_result, workflow_result
from orchestrator.settings import Settings
from schemas import Command, ExecuteWorkflow, Workflow
from streams.clock import WallClock
from streams.errors import WorkflowError
from streams.topics import COMMANDS


def submit(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE|MODULE:ATTR",
            help="YAML of a strategy or, with steps, of a workflow; or a module's own.",
        ),
    ],
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A parameter of the strategy; repeatable.")
    ] = None,
    start: Annotated[bool, typer.Option("--start", help="Run the strategy until it is stopped.")] = False,
    execute: Annotated[bool, typer.Option("--execute", help="Place paper orders once.")] = False,
    wait: Annotated[bool, typer.Option(help="Wait for the result.")] = True,
    timeout: Annotated[float, typer.Option(help="How long to wait, in seconds.", min=0)] = 120.0,
    config: Config = None,
    kafka: Kafka = None,
    redis: Redis = None,
    prefix: Prefix = None,
    json: Json = False,
) -> None:
    """Evaluate a strategy as of the last bar, or run a workflow; without Kafka in this process."""
    settings = settings_of(config, kafka, redis, prefix)
    definition, asked = read_definition(file, overrides_of(changes or ())), Asked(start, execute)
    command = command_of(definition, asked, WallClock().now(), settings.sandbox.initial_capital)
    if start or execute or not wait:
        need_kafka(settings)
    result = asyncio.run(_result(settings, definition, command, timeout if wait else 0.0))
    if json:
        as_json(result)
    else:
        _show(result)
    if "error" in result:
        raise WorkflowError(result["error"])


async def _result(settings: Settings, definition: Definition, command: Command, timeout_s: float) -> dict[str, Any]:
    began = time.perf_counter()
    async with _client(settings, definition.pool) as client:
        await client.submit(command)
        if not timeout_s:
            return {"workflow_id": command.workflow_id, "status": "submitted"}
        workflow = await client.wait(command.workflow_id, timeout_s)
    if definition.strategy is None or isinstance(command, ExecuteWorkflow):
        return workflow_result(workflow)
    result = strategy_result(definition.strategy.strategy_id, workflow, time.perf_counter() - began)
    return {**result, **_run(workflow)}


def _run(workflow: Workflow) -> Mapping[str, Any]:
    results = [step.result for step in workflow.steps if step.spec.action == "start_run" and step.status == "completed"]
    return results[0] if results else {}


@asynccontextmanager
async def _client(settings: Settings, pool: AgentPool | None) -> AsyncIterator[Client]:
    if settings.kafka.bootstrap:
        async with connected(settings) as broker:
            await make_topics(settings, broker)
            broker, serde = await speaking(settings, broker, [COMMANDS.name])
            async with Client.open(broker, serde, WallClock()) as client:
                yield client
        return
    system = FinAgentOrchestrator(settings=settings)
    if pool is not None:
        system.register_agent_pool(pool)
    await system.initialize()
    try:
        async with Client.open(system.broker, system.serde, system.clock) as client:
            yield client
    finally:
        await system.shutdown()


def _show(result: dict[str, Any]) -> None:
    say(f"{result['workflow_id']}: {result['status']}")
    if "run_id" in result:
        say(f"run {result['run_id']}, account {result['account_id']}")
    if "results" in result:
        rows = [(name, status, _short(result["results"].get(name))) for name, status in result["steps"].items()]
        table("Steps", ("step", "status", "result"), rows)
    if note := result.get("data", {}).get("note"):
        say(note)
    _listed("Signals", result.get("signals", []), ("symbol", "signal", "confidence", "score", "target_weight", "price"))
    _listed("Orders that its targets would take", result.get("targets", []), None)
    for key in ("risk_metrics", "transaction_costs"):
        if figures := result.get(key):
            table(key.replace("_", " ").capitalize(), ("figure", "value"), list(figures.items()))


def _listed(title: str, rows: list[dict[str, Any]], columns: tuple[str, ...] | None) -> None:
    if rows:
        names = [name for name in columns or rows[0] if name in rows[0]]
        table(title, names, [[row.get(name) for name in names] for row in rows])


def _short(result: Any) -> str:
    text = "-" if result is None else jsonlib.dumps(result)
    return text if len(text) <= 100 else text[:97] + "..."
