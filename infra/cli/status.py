"""`finagent status`: is the system well, and how far is it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import typer

from infra.cli.connection import connected, memory, speaking
from infra.cli.options import Config, Json, Kafka, Prefix, Redis, need_kafka, settings_of
from infra.cli.output import as_json, say, table
from orchestrator.client import Client
from orchestrator.health import health_of
from orchestrator.settings import Settings
from schemas import StrategyStarted, Workflow
from streams.broker import Broker
from streams.clock import WallClock
from streams.errors import BrokerError
from streams.record import rfc3339
from streams.serde import Serde
from streams.topics import STRATEGIES, WORKFLOWS

LAST = 10
"""Workflows that are shown."""
_NOTHING: dict[str, list[dict[str, Any]]] = {"runs": [], "halted": [], "workflows": []}
_CODES = {"healthy": 0, "degraded": 1, "critical": 2}


def status(
    config: Config = None, kafka: Kafka = None, redis: Redis = None, prefix: Prefix = None, json: Json = False
) -> None:
    """Tell health, tasks, runs and workflows; exit code 0 healthy, 1 degraded, 2 critical."""
    settings = settings_of(config, kafka, redis, prefix)
    need_kafka(settings)
    found = asyncio.run(status_of(settings))
    if json:
        as_json(found)
    else:
        _show(found)
    raise typer.Exit(_CODES[found["status"]])


async def status_of(settings: Settings) -> dict[str, Any]:
    """Return status, reasons, tasks, runs and the last workflows of the system on Kafka."""
    try:
        async with connected(settings) as broker, memory(settings) as store:
            health = await health_of(settings, broker, store, None, WallClock())
            control = await _control_plane(*await speaking(settings, broker, ()))
    except BrokerError as error:
        return {"status": "critical", "reasons": [str(error)], "tasks": [], **_NOTHING}
    now = health.pop("checked")
    tasks = [{**each, "age_s": round((now - each["updated"]) / 1e9, 1)} for each in health["tasks"]]
    return {**health, "tasks": tasks, **control}


async def _control_plane(broker: Broker, serde: Serde) -> dict[str, list[dict[str, Any]]]:
    if not {WORKFLOWS.name, STRATEGIES.name} <= (await broker.topics()).keys():
        return _NOTHING
    async with Client.open(broker, serde, WallClock()) as client:
        newest = sorted(client.workflows.values(), key=lambda each: each.started, reverse=True)
        return {
            "runs": list(map(_run, client.runs.values())),
            "halted": [
                {"account_id": name, "reason": word.reason, "since": rfc3339(word.ts_event)}
                for name, word in sorted(client.halted.items())
            ],
            "workflows": list(map(_workflow, newest[:LAST])),
        }


def _run(run: StrategyStarted) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "strategy_id": run.strategy_id,
        "account_id": run.account_id,
        "symbols": [instrument.symbol for instrument in run.instruments],
        "started": rfc3339(run.ts_event),
    }


def _workflow(workflow: Workflow) -> dict[str, Any]:
    done = sum(step.status == "completed" for step in workflow.steps)
    return {
        "workflow_id": workflow.workflow_id,
        "kind": workflow.kind,
        "status": workflow.status,
        "steps": f"{done}/{len(workflow.steps)}",
        "started": rfc3339(workflow.started),
        "error": workflow.error,
    }


def _show(found: dict[str, Any]) -> None:
    say(found["status"])
    for reason in found["reasons"]:
        say(f"- {reason}")
    rows = [
        (e["task"], _counts(e["handled"]), _counts(e["dead_letters"]), e.get("behind"), _slice(e["slice"]), e["age_s"])
        for e in sorted(found["tasks"], key=lambda each: str(each["task"]))
    ]
    _table("Tasks", ("task", "rows handled", "dead letters", "lag", "slice", "age, s"), rows)
    runs = [(e["run_id"], e["strategy_id"], ", ".join(e["symbols"]), e["started"]) for e in found["runs"]]
    _table("Active runs", ("run_id", "strategy_id", "symbols", "started"), runs)
    halted = [(e["account_id"], e["reason"], e["since"]) for e in found["halted"]]
    _table("Accounts halted by an operator", ("account_id", "reason", "since"), halted)
    columns = ("workflow_id", "kind", "status", "steps", "started", "error")
    _table("Last workflows", columns, [[each[name] for name in columns] for each in found["workflows"]])


def _table(title: str, columns: tuple[str, ...], rows: Iterable[Any]) -> None:
    if filled := list(rows):
        table(title, columns, filled)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()) if count) or "0"


def _slice(ts: int) -> str | None:
    return rfc3339(ts) if ts >= 0 else None
