"""The settings and variables by which programs use the local services."""

from pathlib import Path

from infra.security.keys import REDIS, Keys
from infra.services.kafka import KafkaService
from infra.services.redis import RedisService


def kafka_settings(service: KafkaService) -> dict[str, str]:
    """Return the keys of the section kafka that lead to the cluster."""
    found = {"bootstrap": service.bootstrap}
    if service.security is not None:
        found |= {"security_protocol": "SASL_SSL", "ssl_ca_file": str(Keys(service.security).ca)}
    return found


def redis_settings(service: RedisService) -> dict[str, str]:
    """Return the keys of the section redis that lead to it."""
    found = {"url": service.url}
    if service.security is not None:
        found["ssl_ca_file"] = str(Keys(service.security).ca)
    return found


def kafka_login(service: KafkaService | None, component: str) -> dict[str, str]:
    """Return the variables that a component of a secure cluster proves itself by; none for any other cluster."""
    return _login("KAFKA", component, service.security if service else None)


def redis_login(service: RedisService | None) -> dict[str, str]:
    """Return the variables that any program proves itself to a secure Redis by; none for any other."""
    return _login("REDIS", REDIS, service.security if service else None)


def _login(service: str, user: str, security: Path | None) -> dict[str, str]:
    if security is None:
        return {}
    path = Keys(security).password_file(user)
    return {f"FINAGENT_{service}_USERNAME": user, f"FINAGENT_{service}_PASSWORD_FILE": str(path)}
