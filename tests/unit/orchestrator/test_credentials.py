"""Users and passwords: from the environment and its files alone, and shown nowhere."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest

from orchestrator.credentials import kafka_security, login
from orchestrator.settings import Settings, load
from orchestrator.wiring import broker_of, store_of
from streams.errors import ConfigError
from streams.kafka_broker import KafkaBroker

SECRET = "hunter2-correct-horse"
SASL = {"kafka": {"bootstrap": "broker:9092", "security_protocol": "SASL_SSL"}}
USER = {"FINAGENT_KAFKA_USERNAME": "alpha"}
PASSWORD = {**USER, "FINAGENT_KAFKA_PASSWORD": SECRET}


def secured(config: dict[str, Any], environ: dict[str, str]) -> Any:
    return kafka_security(Settings.from_dict(config).kafka, environ)


def test_the_password_comes_from_a_variable_or_from_the_file_that_one_names(tmp_path: Path) -> None:
    (tmp_path / "password").write_text(SECRET + "\n")
    from_file = {**USER, "FINAGENT_KAFKA_PASSWORD_FILE": str(tmp_path / "password")}
    for environ in (PASSWORD, from_file):
        found = secured(SASL, environ)
        assert (found.username, found.password, found.mechanism) == ("alpha", SECRET, "SCRAM-SHA-512")
        assert SECRET not in repr(found)
    assert login("REDIS", {"FINAGENT_REDIS_PASSWORD": SECRET}) == ("", SECRET)
    assert login("KAFKA", {}) == ("", "")


@pytest.mark.parametrize(
    ("config", "environ", "said"),
    [
        (SASL, {}, "needs a user: set FINAGENT_KAFKA_USERNAME and FINAGENT_KAFKA_PASSWORD_FILE"),
        (SASL, USER, "is set without a password"),
        (SASL, {**PASSWORD, "FINAGENT_KAFKA_PASSWORD_FILE": "/x"}, "both .* are set: keep one"),
        (SASL, {**USER, "FINAGENT_KAFKA_PASSWORD_FILE": "/absent"}, "_FILE: /absent cannot be read: No such file"),
        ({}, PASSWORD, "PLAINTEXT would not use it: set SASL_SSL, or unset"),
        ({"kafka": {"security_protocol": "SSL"}}, PASSWORD, "SSL would not use it"),
        ({"kafka": {"ssl_ca_file": "/ca.pem"}}, {}, "kafka.ssl_ca_file is set, and .* PLAINTEXT would not use it"),
        ({"kafka": {"security_protocol": "SSL", "ssl_key_file": "/k"}}, {}, "without kafka.ssl_certificate_file"),
    ],
)
def test_what_does_not_fit_is_refused_without_the_password(
    config: dict[str, Any], environ: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        secured(config, environ)
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_an_empty_password_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "password").touch()
    with pytest.raises(ConfigError, match="is empty"):
        secured(SASL, {**USER, "FINAGENT_KAFKA_PASSWORD_FILE": str(tmp_path / "password")})


def test_a_password_crosses_the_network_under_tls_only() -> None:
    for bootstrap in ("broker:9092", "127.0.0.1:1,10.0.0.1:1", "[2001:db8::1]:9092"):
        with pytest.raises(ConfigError, match=r"kafka: SASL_PLAINTEXT would show the password .* set SASL_SSL"):
            Settings.from_dict({"kafka": {"bootstrap": bootstrap, "security_protocol": "SASL_PLAINTEXT"}})
    for bootstrap in ("", "localhost:9092,127.0.0.1:9092", "[::1]:9092"):
        Settings.from_dict({"kafka": {"bootstrap": bootstrap, "security_protocol": "SASL_PLAINTEXT"}})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            f"kafka: {{password: {SECRET}}}",
            "kafka.password: .*set the environment variable FINAGENT_KAFKA_PASSWORD_FILE",
        ),
        (f"kafka: {{sasl_plain_password: {SECRET}}}", "FINAGENT_KAFKA_PASSWORD_FILE or FINAGENT_KAFKA_PASSWORD"),
        ("kafka: {username: alpha}", "kafka.username: users and passwords are no settings"),
        (f"redis: {{password: {SECRET}}}", "FINAGENT_REDIS_PASSWORD_FILE"),
        (f"redis: {{url: 'rediss://u:{SECRET}@host/0'}}", "redis.url: a password does not belong in a file"),
        (f"redis: {{url: 'rediss://host/0?password={SECRET}'}}", "redis.url: a password does not belong in a file"),
    ],
)
def test_a_file_with_a_user_or_password_is_refused_without_quoting_it(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError, match=said) as raised:
        load(tmp_path / "mine.yaml", environ={})
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_the_login_is_no_setting_and_shows_in_none() -> None:
    environ = {**PASSWORD, "FINAGENT_REDIS_PASSWORD": SECRET, "FINAGENT_REDIS__URL": "redis://cache:6379/0"}
    settings = load(overrides=SASL, environ=environ)
    assert SECRET not in settings.model_dump_json() + repr(settings)
    with pytest.raises(ConfigError, match=r"FINAGENT_KAFKA__PASSWORD: kafka\.password: users and passwords"):
        load(environ={"FINAGENT_KAFKA__PASSWORD": SECRET})


def test_connections_are_made_with_it_and_do_not_show_it() -> None:
    settings = Settings.from_dict({**SASL, "redis": {"url": "redis://cache:6379/0"}})
    broker = broker_of(settings, PASSWORD)
    assert isinstance(broker, KafkaBroker)
    options = broker.options.security.client_options()
    assert options["sasl_plain_password"] == SECRET
    assert options["ssl_context"].check_hostname
    assert SECRET not in repr(broker.options) + repr(broker.options.security)
    store = store_of(settings, {"FINAGENT_REDIS_PASSWORD": SECRET})
    assert SECRET not in repr(store)


@pytest.mark.parametrize(
    ("redis", "environ", "said"),
    [
        ({"url": "rediss://h/0?ssl_cert_reqs=none"}, {}, "certificates and host names are always checked"),
        ({"url": "redis://h/0", "ssl_ca_file": "/ca.pem"}, {}, "begin the URL with rediss://"),
        ({"url": f"redis://u:{SECRET}@h/0"}, {"FINAGENT_REDIS_PASSWORD": SECRET}, "both give a password"),
        ({"url": "rediss://h/0", "ssl_ca_file": "/absent.pem"}, {}, "redis.ssl_ca_file: /absent.pem cannot be read"),
    ],
)
def test_a_redis_that_would_be_less_safe_than_it_seems_is_refused(
    redis: dict[str, str], environ: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        store_of(Settings.from_dict({"redis": redis}), environ)
    assert SECRET not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"ssl_ca_file": "none.pem"}, r"kafka.ssl_ca_file: none.pem holds no PEM certificate"),
        ({"ssl_ca_file": "absent.pem"}, r"kafka.ssl_ca_file: absent.pem cannot be read: No such file"),
        ({"ssl_certificate_file": "none.pem"}, r"kafka.ssl_certificate_file: none.pem and the key in it are no PEM"),
        ({"ssl_certificate_file": "absent.pem"}, r"kafka.ssl_certificate_file: absent.pem .* cannot be read"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], said: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "none.pem").write_text("no certificate")
    security = secured({"kafka": {"security_protocol": "SSL", **files}}, {})
    with pytest.raises(ConfigError, match=said):
        security.client_options()
