"""Exit codes, and the one line that says what went wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import pytest
import typer

from infra.cli import serving
from infra.cli.exits import TASK_FAILED
from orchestrator.settings import Settings
from streams.errors import HandlerError
from streams.host import TaskKind
from streams.memory_broker import MemoryBroker
from tests.unit.infra.conftest import Run


def test_help_ends_well(run: Run) -> None:
    assert run("--help").code == 0


def test_the_version_is_that_of_the_distribution(run: Run) -> None:
    assert run("--version").out == f"finagent {version('finagent-orchestration')}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("pool", "dta"), "Unknown pool 'dta', expected one of data, alpha, portfolio, risk"),
        (("pool", "data"), "needs Kafka and the settings name none: start one with `finagent broker start`"),
        (
            ("topics", "--kafka", "local"),
            "no local Kafka runs in .finagent/kafka: start it with `finagent broker start`",
        ),
        (("status", "--redis", "local"), "no local Redis runs in .finagent/redis"),
        (("feed", "sample"), "needs Kafka"),
        (("stop", "run-1"), "needs Kafka"),
        (("topics", "--kafka", "127.0.0.1:1"), "no Kafka at 127.0.0.1:1"),
        (("orchestrator", "--mode", "staging"), "got 'staging'"),
        (("pool", "data", "--config", "missing.yaml"), "missing.yaml: cannot be read"),
    ],
)
def test_a_failure_is_one_line_with_what_to_do(run: Run, arguments: tuple[str, ...], words: str) -> None:
    ran = run(*arguments)
    assert ran.code == 1
    assert ran.err.startswith("error: ")
    assert words in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize("arguments", [("pol",), ("pool",), ("submit",), ("feed", "sample", "--speed", "0")])
def test_wrong_usage_is_code_2(run: Run, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).code == 2


def test_a_traceback_comes_with_debug_only(run: Run) -> None:
    assert "Traceback" not in run("pool", "dta").err
    told = run("--debug", "pool", "dta")
    assert "Traceback" in told.err
    assert told.err.splitlines()[-1].startswith("error: Unknown pool 'dta'")


def test_an_unexpected_error_asks_for_a_report(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.cli.topics.settings_of", _raising(KeyError("symbol")))
    ran = run("topics")
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "unexpected KeyError: 'symbol' (run with --debug" in ran.err


def test_an_interrupted_command_is_code_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.cli.topics.settings_of", _raising(KeyboardInterrupt()))
    assert run("topics").code == 130


async def test_a_task_that_fails_is_code_3(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    @asynccontextmanager
    async def connected(*_: Any) -> AsyncIterator[MemoryBroker]:
        yield MemoryBroker()

    monkeypatch.setattr(serving, "connected", connected)
    failing = HandlerError("alpha: decide raised on fills[0]@7", topic="fills", poison=())
    kind = TaskKind("broken", "account", _raising(failing))
    with pytest.raises(typer.Exit) as ended:
        await asyncio.wait_for(serving.serve(Settings(), [kind], "pool broken", asyncio.Event()), 10)
    assert ended.value.exit_code == TASK_FAILED
    assert capsys.readouterr().err.splitlines()[-1] == "error: alpha: decide raised on fills[0]@7"


def _raising(error: BaseException) -> Any:
    def raises(*_: Any, **__: Any) -> Any:
        raise error

    return raises
