"""Options that commands share, and the settings that they make."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from infra.cli.exits import session
from infra.cli.logs import configure
from infra.services import kafka_settings, kafka_status, redis_settings, redis_status
from orchestrator.settings import Settings, load
from orchestrator.wording import redacted
from streams.errors import ConfigError, ServiceError

FOLDER = Path(".finagent")
"""Where `finagent broker start` keeps Kafka and Redis, relative to the working folder."""
LOCAL = "local"


def _without_password(url: str | None) -> str | None:
    if url and redacted(url) != url:
        raise ConfigError(
            "--redis: everybody on this machine sees the options of a program: set FINAGENT_REDIS_PASSWORD_FILE or "
            "FINAGENT_REDIS_PASSWORD, and FINAGENT_REDIS_USERNAME, instead of a password in the URL"
        )
    return url


Config = Annotated[
    Path | None, typer.Option("--config", help="Settings file; default: config/orchestrator_config.yaml, if there.")
]
Kafka = Annotated[
    str | None, typer.Option("--kafka", help="host:port, or 'local': the one of `finagent broker start`.")
]
Redis = Annotated[
    str | None,
    typer.Option("--redis", help="URL, or 'local': the one of `finagent broker start`.", callback=_without_password),
]
Prefix = Annotated[str | None, typer.Option("--prefix", help="Put before every topic, group and transactional id.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def settings_of(
    config: Path | None = None,
    kafka: str | None = None,
    redis: str | None = None,
    prefix: str | None = None,
    *,
    mode: str | None = None,
) -> Settings:
    """Return the settings of the file, the environment and these options; log as they say."""
    cluster = local_kafka() if kafka == LOCAL else {"bootstrap": kafka}
    store = local_redis() if redis == LOCAL else {"url": redis}
    given = {"mode": mode, "kafka": {**cluster, "prefix": prefix}, "redis": store}
    settings = load(config, _given(given))
    configure(settings.log_level, debug=session.debug, log_format=settings.observability.log_format)
    return settings


def local_kafka(folder: Path = FOLDER) -> dict[str, str]:
    """Return the settings that lead to the local Kafka; raise ServiceError where none runs."""
    service = kafka_status(folder / "kafka")
    if service is None or not any(broker.alive for broker in service.brokers):
        raise ServiceError(f"no local Kafka runs in {folder / 'kafka'}: start it with `finagent broker start`")
    return kafka_settings(service)


def local_redis(folder: Path = FOLDER) -> dict[str, str]:
    """Return the settings that lead to the local Redis; raise ServiceError where none runs."""
    service = redis_status(folder / "redis")
    if service is None or not service.alive:
        raise ServiceError(f"no local Redis runs in {folder / 'redis'}: start it with `finagent broker start`")
    return redis_settings(service)


def need_kafka(settings: Settings) -> None:
    """Raise ConfigError that says how to name a Kafka where the settings name none."""
    if not settings.kafka.bootstrap:
        raise ConfigError(
            "this command needs Kafka and the settings name none: start one with `finagent broker start` and add "
            "--kafka local, or give --kafka host:port or FINAGENT_KAFKA__BOOTSTRAP=host:port"
        )


def need_rl(settings: Settings) -> None:
    """Raise ConfigError where policies are switched off."""
    if not settings.orchestrator.enable_rl:
        raise ConfigError("orchestrator.enable_rl is false: training is switched off")


def _given(options: dict[str, Any]) -> dict[str, Any]:
    nested = {key: _given(value) if isinstance(value, dict) else value for key, value in options.items()}
    return {key: value for key, value in nested.items() if value not in (None, {})}
