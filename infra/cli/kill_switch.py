"""`finagent kill-switch`: halt accounts, or release them."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Annotated, Any

import typer

from infra.cli.connection import connected, make_topics
from infra.cli.operating import operator
from infra.cli.options import Config, Json, Kafka, Prefix, settings_of
from infra.cli.output import as_json, say
from orchestrator.client import Client
from orchestrator.controls import WAIT_S
from orchestrator.settings import Settings
from streams.errors import ConfigError


class State(StrEnum):
    """How the kill switch is to stand."""

    ON = "on"
    OFF = "off"


def kill_switch(
    state: Annotated[State, typer.Argument(help="on: cancel open orders and deny new ones; off: trade again.")],
    accounts: Annotated[list[str] | None, typer.Argument(metavar="ACCOUNT...", help="As positions name them.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every account of an active run, and every halted one.")] = False,
    reason: Annotated[str, typer.Option(help="Why; stands in the log and in what is canceled.")] = "",
    wait: Annotated[float, typer.Option(help="Seconds to wait for the slice that it counts from.", min=0)] = WAIT_S,
    config: Config = None,
    kafka: Kafka = None,
    prefix: Prefix = None,
    json: Json = False,
) -> None:
    """Halt accounts until they are released, or release them."""
    if bool(accounts) == every:
        raise ConfigError("name the accounts, or give --all")
    if not reason:
        raise ConfigError("give a --reason: it is what others will read in the log")
    settings = settings_of(config, kafka, None, prefix)
    told = asyncio.run(_set(settings, accounts, state is State.ON, reason, wait))
    if json:
        as_json(told)
        return
    for each in told:
        say(_line(each))
    if not told:
        say("there is no account of an active run, and none is halted")


async def _set(
    settings: Settings, accounts: list[str] | None, active: bool, reason: str, wait_s: float
) -> list[dict[str, Any]]:
    async with connected(settings) as broker:
        await make_topics(settings, broker)
        async with operator(settings, broker) as controls:
            return await controls.set_kill_switches(accounts or _all(controls.client), active, reason, wait_s)


def _all(client: Client) -> list[str]:
    return sorted({run.account_id for run in client.runs.values()} | client.halted.keys())


def _line(told: dict[str, Any]) -> str:
    name, how = told["account_id"], "halted" if told["active"] else "released"
    if told["pending"]:
        return f"account {name} will be {how} with the next slice in which a run has it: none came in time"
    canceled = f"; open orders canceled: {told['canceled']}" if told["active"] else ""
    return f"account {name} is {how}{canceled}"
