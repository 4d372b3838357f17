"""Settings: layers, unknown keys, secrets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from agents.transaction_cost.model import CostModel
from orchestrator.settings import Settings, load
from streams.errors import ConfigError

CONFIG = Path(__file__).parents[3] / "config"
TEMPLATE = CONFIG / "orchestrator_config.yaml"
DOCS = CONFIG.parent / "docs" / "configuration.md"


def written(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def leaves(values: dict[str, Any], path: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        where = f"{path}.{key}" if path else key
        found |= leaves(value, where) if isinstance(value, dict) else {where: value}
    return found


def test_the_template_is_complete_and_equals_the_defaults() -> None:
    assert load(TEMPLATE, environ={}) == Settings()
    given = leaves(yaml.safe_load(TEMPLATE.read_text()))
    assert set(given) == set(leaves(Settings().model_dump()))


def test_every_key_is_documented() -> None:
    text = DOCS.read_text()
    for key in leaves(Settings().model_dump()):
        name = re.sub(r"^agent_pools\.[a-z_]+\.", "agent_pools.<name>.", key)
        assert f"`{name}`" in text, name


def test_nothing_given_is_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(environ={}) == Settings() == Settings.from_dict({})


def test_the_default_file_is_read_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    written(tmp_path / "config", "kafka: {prefix: mine.}", "orchestrator_config.yaml")
    assert load(environ={}).kafka.prefix == "mine."


def test_flags_go_before_environment_before_overlay_before_file(tmp_path: Path) -> None:
    path = written(
        tmp_path, "kafka: {prefix: file., bootstrap: 'file:1', replication: 2}\nredis: {url: 'redis://file'}"
    )
    written(tmp_path, "kafka: {prefix: overlay., bootstrap: 'overlay:1', transaction_timeout_ms: 2000}", "sandbox.yaml")
    environ = {"FINAGENT_ENV": "sandbox", "FINAGENT_KAFKA__BOOTSTRAP": "env:1", "FINAGENT_KAFKA__PREFIX": "env."}
    settings = load(path, {"kafka": {"prefix": "flag."}}, environ)
    assert settings.mode == "sandbox"
    assert settings.redis.url == "redis://file"
    kafka = settings.kafka
    assert (kafka.replication, kafka.transaction_timeout_ms, kafka.bootstrap, kafka.prefix) == (
        2,
        2000,
        "env:1",
        "flag.",
    )


def test_the_environment_reaches_every_depth() -> None:
    settings = load(
        TEMPLATE,
        environ={
            "FINAGENT_LOG_LEVEL": "warning",
            "FINAGENT_ORCHESTRATOR__MAX_CONCURRENT_TASKS": "7",
            "FINAGENT_KAFKA__PARTITIONS__ACCOUNT": "4",
            "FINAGENT_RISK__LIMITS__ALLOW_SHORT": "true",
            "FINAGENT_AGENT_POOLS__RISK_AGENT_POOL__ENABLED": "false",
            "FINAGENT_AGENT_POOLS__MINE__URL": "http://localhost:8005",
            "FINAGENT_DATA__PROVIDERS": "polygon, sample",
            "PATH": "/bin",
        },
    )
    assert settings.log_level == "WARNING"
    assert settings.orchestrator.max_concurrent_tasks == 7
    assert settings.kafka.partitions.account == 4
    assert settings.risk.limits.allow_short
    assert not settings.agent_pools["risk_agent_pool"].enabled
    assert settings.agent_pools["data_agent_pool"].enabled
    assert settings.agent_pools["mine"].url == "http://localhost:8005"
    assert settings.data.providers == ("polygon", "sample")


def test_the_environment_is_read_at_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINAGENT_REDIS__URL", "redis://later")
    assert load(TEMPLATE).redis.url == "redis://later"


def test_reserved_and_empty_variables_are_left_alone() -> None:
    reserved = ("FINAGENT_API_KEY", "FINAGENT_CACHE", "FINAGENT_KAFKA_BOOTSTRAP", "FINAGENT_REDIS_URL")
    environ = dict.fromkeys(reserved, "x") | {"FINAGENT_ENV": "", "FINAGENT_LOG_LEVEL": ""}
    assert load(TEMPLATE, environ=environ) == Settings()


@pytest.mark.parametrize("how", ["flag", "variable"])
def test_a_mode_selects_its_overlay(how: str) -> None:
    flags, environ = ({"mode": "production"}, {}) if how == "flag" else ({}, {"FINAGENT_ENV": "production"})
    settings = load(TEMPLATE, flags, environ)
    assert (settings.mode, settings.kafka.bootstrap, settings.kafka.replication) == ("production", "localhost:9092", 3)


def test_a_mode_flag_goes_before_the_variable() -> None:
    settings = load(TEMPLATE, {"mode": "development"}, {"FINAGENT_ENV": "production"})
    assert (settings.mode, settings.log_level, settings.kafka.bootstrap) == ("development", "DEBUG", "")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"kafca": {}}, "config: kafca: unknown key 'kafca', nearest is 'kafka'"),
        ({"kafka": {"partitions": {"acount": 2}}}, "kafka.partitions.acount.*nearest is 'account'"),
        ({"risk": {"limits": {"allow_shorts": True}}}, "risk.limits.allow_shorts.*nearest is 'allow_short'"),
        ({"agent_pools": {"mine": {"urll": ""}}}, "agent_pools.mine.urll.*nearest is 'url'"),
        ({"kafka": "localhost"}, "kafka must be a mapping, got 'localhost'"),
        ({"agent_pools": ["mine"]}, "agent_pools must be a mapping"),
        ({"agent_pools": {"mine": 3}}, "agent_pools.mine must be a mapping, got 3"),
        ({"log_level": "LOUD"}, "log_level.*DEBUG.*got 'LOUD'"),
        ({"orchestrator": {"max_concurrent_tasks": 0}}, "orchestrator.max_concurrent_tasks.*got 0"),
        ({"data": {"providers": []}}, "data.providers"),
        ({"kafka": {"prefix": "a b"}}, "kafka.prefix.*'a b'"),
        ({"sandbox": {"initial_capital": float("inf")}}, "sandbox.initial_capital"),
        ({"mode": "production"}, "production needs kafka.bootstrap"),
    ],
)
def test_a_wrong_setting_is_named(config: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Settings.from_dict(config)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("FINAGENT_KAFKA__BOOTSTRP", "FINAGENT_KAFKA__BOOTSTRP: kafka.bootstrp: .*nearest is 'bootstrap'"),
        ("FINAGENT_LOGLEVEL", "'FINAGENT_LOGLEVEL', nearest is 'FINAGENT_LOG_LEVEL'"),
        ("FINAGENT_KAFKA", "'FINAGENT_KAFKA', nearest is"),
        ("FINAGENT_MODE", "'FINAGENT_MODE'.*FINAGENT_ENV"),
        ("FINAGENT_KAFKA__", "'FINAGENT_KAFKA__'"),
        ("FINAGENT_ENV", "mode: .*'production'.*got '../x'"),
    ],
)
def test_a_wrong_variable_is_named(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(TEMPLATE, environ={name: "../x"})


def test_a_wrong_file_is_named(tmp_path: Path) -> None:
    for text, said in (("kafka: [", "no YAML"), ("- 1", "must be a mapping"), ("kafka: {a: 1}", "kafka.a")):
        with pytest.raises(ConfigError, match=rf"mine\.yaml: .*{said}"):
            load(written(tmp_path, text), environ={})
    with pytest.raises(ConfigError, match=r"absent\.yaml: cannot be read: No such file"):
        load(tmp_path / "absent.yaml", environ={})


def test_empty_sections_count_as_absent(tmp_path: Path) -> None:
    assert load(written(tmp_path, "kafka:\nagent_pools:\n  mine:\n"), environ={}).agent_pools["mine"].enabled
    assert load(written(tmp_path, ""), environ={}) == Settings()


def test_a_dict_as_the_facade_takes_it() -> None:
    config: dict[str, Any] = {"agent_pools": {"data_agent_pool": {"enabled": False}}}
    config["log_level"] = "debug"
    settings = Settings.from_dict(config)
    assert settings.log_level == "DEBUG"
    assert len(settings.agent_pools) == 6


def test_costs_come_from_two_sections() -> None:
    assert Settings().cost_model() == CostModel()
    settings = Settings.from_dict({"sandbox": {"commission_rate": 0.0}, "costs": {"half_spread_bps": 3}})
    assert settings.cost_model() == CostModel(commission_rate=0.0, half_spread_bps=3.0)


SECRETS = (
    {"redis": {"url": "redis://:sec,ret@host:6379/0"}},
    {"redis": {"url": "redis://user:sec@ret@host/0"}},
    {"redis": {"url": "redis://host/0?password=secret"}},
    {"kafka": {"bootstrap": "SASL_SSL://user:secret@host:9092"}},
    {"agent_pools": {"mine": {"url": "http://user:secret@localhost:8005"}}},
)


@pytest.mark.parametrize("config", SECRETS)
def test_a_repr_shows_no_password(config: dict[str, Any]) -> None:
    settings = Settings.from_dict(config)
    for text in (repr(settings), str(settings), f"{settings}"):
        assert "***" in text
        assert not re.search("sec[,@]?ret|ret@", text)
    assert leaves(config).items() <= leaves(settings.model_dump()).items()


def test_an_error_shows_no_password(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.from_dict({"kafka": {"prefix": "redis://:secret@host"}})
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, "redis: {url: redis://:secret@host"), environ={})
    assert "secret" not in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        Settings.from_dict({"redis": "redis://:secret@host"})
    assert "secret" not in str(caught.value)
