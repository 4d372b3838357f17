"""The commands of `finagent`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Annotated

import typer

from infra.cli.actor import actor
from infra.cli.backtest import backtest, check
from infra.cli.broker import broker
from infra.cli.chaos import chaos
from infra.cli.demo import demo
from infra.cli.dlq import dlq
from infra.cli.evaluate import evaluate
from infra.cli.exits import FAILED, report, session
from infra.cli.feed import feed
from infra.cli.kill_switch import kill_switch
from infra.cli.mcp import mcp
from infra.cli.memory import memory
from infra.cli.orchestrator import orchestrator
from infra.cli.policies import policies
from infra.cli.pool import pool
from infra.cli.replay import replay
from infra.cli.report import draw
from infra.cli.sandbox import sandbox
from infra.cli.schemas import schemas
from infra.cli.serve import serve
from infra.cli.status import status
from infra.cli.stop import stop
from infra.cli.submit import submit
from infra.cli.sweep import sweep
from infra.cli.topics import topics
from infra.cli.trace import trace
from infra.cli.train import train
from infra.cli.up import up
from infra.cli.worker import worker

app = typer.Typer(
    name="finagent",
    help="Event-driven multi-agent trading on Kafka.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"finagent {version('finagent-orchestration')}")
        raise typer.Exit


@app.callback()
def _whole_call(
    _asked: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Log at DEBUG, and show tracebacks.")] = False,
) -> None:
    session.debug = debug


COMMANDS: Sequence[Callable[..., None]] = (
    demo,
    backtest,
    sweep,
    evaluate,
    replay,
    up,
    serve,
    mcp,
    orchestrator,
    pool,
    worker,
    submit,
    stop,
    feed,
    status,
    topics,
    trace,
    train,
    actor,
    chaos,
)
for command in COMMANDS:
    app.command()(command)
app.command("kill-switch")(kill_switch)
app.command("report")(draw)
app.add_typer(broker, name="broker")
app.add_typer(check, name="check")
app.add_typer(dlq, name="dlq")
app.add_typer(memory, name="memory")
app.add_typer(policies, name="policies")
app.add_typer(sandbox, name="sandbox")
app.add_typer(schemas, name="schemas")


def run(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    try:
        app(args=list(arguments) if arguments is not None else None, prog_name="finagent")
    except Exception as error:
        report(error)
        sys.exit(FAILED)
