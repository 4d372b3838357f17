"""Log lines: text as the guide has it, JSON with what is in hand, and no secret in either."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest

from agents.context import Run as RunOf
from agents.context import Slice
from agents.pool import AgentPool
from infra.cli.logs import configure, formatter_of
from schemas import Signal
from streams.errors import StoreError
from tests.dataplane import Plane, sample, started
from tests.unit.infra.conftest import Run
from tests.unit.streams.task_pool import signal

ENVIRONMENT = {"POLYGON_API_KEY": "pk_live_12345678", "FINAGENT_API_KEY": "short", "PATH": "/usr/local/bin"}


class Lines(logging.Handler):
    """Keeps what a formatter writes."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def attached(request: pytest.FixtureRequest) -> Any:
    """Attach a formatter to the root logger."""

    def attach(log_format: str) -> Lines:
        handler, root = Lines(formatter_of(log_format, ENVIRONMENT)), logging.getLogger()
        root.addHandler(handler)
        root.setLevel(logging.INFO)
        request.addfinalizer(lambda: root.removeHandler(handler))
        return handler

    return attach


def test_text_is_as_the_guide_prints_it(attached: Any) -> None:
    lines = attached("text").lines
    logging.getLogger("FinAgentOrchestrator").warning("High memory usage detected: %.1fGB", 8.5)
    stamp = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"
    assert re.fullmatch(stamp + " WARNING - FinAgentOrchestrator: High memory usage detected: 8.5GB", lines[0])


def test_json_is_one_object_a_line(attached: Any) -> None:
    lines = attached("json").lines
    logging.getLogger("finagent.x").warning("two\nlines, %s and “quotes” \u2028", '"', extra={"count": 3, "ratio": 0.5})
    [line] = lines
    assert line.splitlines() == [line]
    told = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", told["time"])
    assert (told["level"], told["logger"]) == ("WARNING", "finagent.x")
    assert told["message"] == 'two\nlines, " and “quotes” \u2028'
    assert (told["count"], told["ratio"]) == (3, 0.5)
    assert "task" not in told


def test_json_carries_the_traceback_and_stays_json_whatever_is_logged(attached: Any) -> None:
    lines = attached("json").lines
    try:
        raise StoreError('Redis at redis://user:pa"ss@host/0 said no; password=x\\"y')
    except StoreError:
        logging.getLogger("a").exception("odd", extra={"level": "mine", "nan": float("nan"), "thing": object()})
    told = json.loads(lines[0], parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert told["level"] == "ERROR", "what is passed along replaces none of our fields"
    assert "StoreError: Redis at redis://***@host/0 said no" in told["exc_info"]
    assert "pa" not in told["exc_info"].split("redis://")[1].split("host")[0]


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_secrets_are_never_written(attached: Any, log_format: str) -> None:
    lines = attached(log_format).lines
    log = logging.getLogger("finagent.x")
    log.warning("connecting to %s", "redis://user:hunter2@cache:6379/0")
    log.warning("GET https://api.polygon.io/v2?apiKey=%s", ENVIRONMENT["POLYGON_API_KEY"])
    log.warning("kafka://u:hunter2@k:9092 refused", extra={"urls": ["redis://a:hunter2@b"], "deep": {"hunter": 2}})
    try:
        raise ValueError(f"key {ENVIRONMENT['POLYGON_API_KEY']} at amqp://u:hunter2@h")
    except ValueError:
        log.exception("failed")
    text = "\n".join(lines)
    assert "hunter2" not in text
    assert ENVIRONMENT["POLYGON_API_KEY"] not in text
    assert "redis://***@cache:6379/0" in text
    assert "apiKey=***" in text


def test_a_password_in_a_file_that_the_environment_names_is_never_written(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2-correct-horse\n")
    named = {"FINAGENT_KAFKA_PASSWORD_FILE": str(tmp_path / "password"), "X_TOKEN_FILE": "/absent"}
    formatter = formatter_of("text", named)
    record = logging.makeLogRecord({"msg": "refused hunter2-correct-horse", "name": "kafka"})
    assert formatter.format(record).endswith("kafka: refused ***")


async def test_json_tells_the_task_and_the_record_in_hand(attached: Any) -> None:
    lines, log = attached("json").lines, logging.getLogger("finagent.mine")
    pool = AgentPool("mine")

    @pool.on
    def heard(signal: Signal) -> None:
        log.info("heard")

    plane = Plane(pools=[pool])
    await plane.create()
    named = await plane.say(signal(0.5), signal(0.7))
    plane.start()  # which then takes both at once
    await plane.until(lambda: plane.committed("mine.0", "signals") == 2)
    assert plane.host is not None
    assert plane.work is not None
    plane.host.stop.set()
    await plane.work
    heard_of = [told for line in lines if (told := json.loads(line))["message"] == "heard"]
    assert [told["message_id"] for told in heard_of] == named
    told = heard_of[0]
    expected = {"task": "mine.0", "pool": "mine", "topic": "signals", "partition": 0, "offset": 0, "type": "Signal"}
    assert expected.items() <= told.items()
    assert told["message_id"] == told["correlation_id"] == told["causation_id"]
    assert told["strategy_id"] == signal(0.5).strategy_id
    log.info("outside")
    assert "task" not in json.loads(lines[-1])


async def test_json_tells_the_slice_where_no_single_record_is_in_hand(attached: Any) -> None:
    lines = attached("json").lines
    plane = Plane()
    instruments, slices = sample(("AAPL",), "2012-01-03", "2012-01-05")

    @plane.pools[0].on
    def closed(slice_: Slice, run: RunOf) -> None:
        logging.getLogger("finagent.mine").info("closed")

    async with plane.running():
        await plane.announce(started("run", instruments))
        await plane.publish(slices)
    told = [told for line in lines if (told := json.loads(line))["message"] == "closed"]
    assert len(told) == len(slices)
    assert {(each["task"], each["phase"]) for each in told} == {("alpha.0", "decide")}
    assert all(each["slice"].endswith("Z") and "message_id" not in each for each in told)


def test_the_setting_chooses_the_format(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINAGENT_OBSERVABILITY__LOG_FORMAT", "json")
    assert run("status").code == 1  # no Kafka is named
    logging.getLogger("finagent.x").warning("after")
    assert json.loads(capsys.readouterr().err)["message"] == "after"
    monkeypatch.setenv("FINAGENT_OBSERVABILITY__LOG_FORMAT", "xml")
    wrong = run("status")
    assert wrong.code == 1
    assert "observability.log_format" in wrong.err


def test_text_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    configure("INFO")
    logging.getLogger("finagent.x").info("plain")
    assert capsys.readouterr().err.endswith("INFO - finagent.x: plain\n")
