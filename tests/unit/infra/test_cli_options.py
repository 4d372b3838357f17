"""Shared options, what they make of the settings, and how commands log."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from infra.cli.options import need_kafka, settings_of
from infra.cli.pool import found_pools
from orchestrator.settings import Settings
from streams.errors import ConfigError
from tests.unit.infra.conftest import Run


def test_options_go_before_the_environment_and_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("kafka: {bootstrap: 'file:1', prefix: file.}\nredis: {url: 'redis://file'}\n")
    monkeypatch.setenv("FINAGENT_KAFKA__PREFIX", "environment.")
    settings = settings_of(file, "option:1", None, None)
    assert (settings.kafka.bootstrap, settings.kafka.prefix, settings.redis.url) == (
        "option:1",
        "environment.",
        "redis://file",
    )
    assert settings_of(file, prefix="option.").kafka.prefix == "option."
    assert settings_of(mode="sandbox").mode == "sandbox"


def test_an_empty_address_takes_kafka_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINAGENT_KAFKA__BOOTSTRAP", "environment:1")
    with pytest.raises(ConfigError, match="needs Kafka"):
        need_kafka(settings_of(kafka=""))


def test_logs_have_the_documented_form(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FINAGENT_LOG_LEVEL", "WARNING")
    settings_of()
    log = logging.getLogger("FinAgentOrchestrator")
    log.warning("Memory agent unavailable, running without persistence")
    log.info("not at this level")
    err = capsys.readouterr().err
    assert err.endswith(" WARNING - FinAgentOrchestrator: Memory agent unavailable, running without persistence\n")
    assert err.count("\n") == 1


def test_a_pool_of_ones_own_comes_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_pools_of_a_test.py").write_text(
        "from agents.pool import AgentPool\nbreakout = AgentPool('breakout')\nother = 3\n"
    )
    monkeypatch.setattr("sys.path", [])
    settings = Settings()
    assert [pool.name for pool in found_pools("own_pools_of_a_test:breakout", settings)] == ["breakout"]
    with pytest.raises(
        ConfigError, match=r"unknown pool 'brakout', nearest is 'breakout'; expected one of \(breakout\)"
    ):
        found_pools("own_pools_of_a_test:brakout", settings)
    with pytest.raises(ConfigError, match="unknown pool 'other'"):
        found_pools("own_pools_of_a_test:other", settings)
    with pytest.raises(ConfigError, match=r"cannot be imported from .*: No module named 'nowhere'"):
        found_pools("nowhere:pool", settings)


def test_a_status_without_kafka_is_critical_and_still_json(run: Run) -> None:
    ran = run("status", "--kafka", "127.0.0.1:1", "--json")
    assert ran.code == 2
    assert json.loads(ran.out)["status"] == "critical"


def test_a_broker_that_never_ran_is_said_so(run: Run) -> None:
    assert run("broker", "status").code == 1
    told = run("broker", "status", "--json")
    assert json.loads(told.out) == {"kafka": None, "redis": None, "environment": {}}
    assert run("broker", "stop").code == 0
