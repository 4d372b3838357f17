"""Users and passwords of services: from the environment or from files that it names, never from settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from orchestrator.sections import KafkaSection
from streams.errors import ConfigError
from streams.kafka_security import KafkaSecurity

SERVICES = ("KAFKA", "REDIS", "SCHEMA_REGISTRY")
USERNAME = "FINAGENT_{}_USERNAME"
PASSWORD = "FINAGENT_{}_PASSWORD"
FILE = "_FILE"
"""Ends the variable that names a file with the password instead."""
VARIABLES = frozenset(name.format(service) for service in SERVICES for name in (USERNAME, PASSWORD, PASSWORD + FILE))


def login(service: str, environ: Mapping[str, str] | None = None) -> tuple[str, str]:
    """Return user and password of one of SERVICES, empty where there is none; raise ConfigError for half a login."""
    environ = os.environ if environ is None else environ
    user, variable = environ.get(USERNAME.format(service), ""), PASSWORD.format(service)
    password, path = environ.get(variable, ""), environ.get(variable + FILE, "")
    if password and path:
        raise ConfigError(f"both {variable} and {variable}{FILE} are set: keep one")
    password = _read(Path(path), variable + FILE) if path else password
    if user and not password:
        raise ConfigError(f"{USERNAME.format(service)} is set without a password: set {variable}{FILE} or {variable}")
    return user, password


def kafka_security(kafka: KafkaSection, environ: Mapping[str, str] | None = None) -> KafkaSecurity:
    """Return how to connect to Kafka; environ: os.environ, if not given. Raises ConfigError for what does not fit."""
    user, password = login("KAFKA", environ)
    security = KafkaSecurity(
        protocol=kafka.security_protocol,
        mechanism=kafka.sasl_mechanism,
        username=user,
        password=password,
        ca_file=kafka.ssl_ca_file,
        certificate_file=kafka.ssl_certificate_file,
        key_file=kafka.ssl_key_file,
    )
    if security.has_login and not user:
        raise ConfigError(
            f"kafka.security_protocol {security.protocol} needs a user: set {USERNAME.format('KAFKA')} and "
            f"{PASSWORD.format('KAFKA')}{FILE} or {PASSWORD.format('KAFKA')}"
        )
    if password and not security.has_login:
        raise ConfigError(
            f"a password for Kafka is set, and kafka.security_protocol {security.protocol} would not use it: set "
            "SASL_SSL, or unset the password"
        )
    _check_files(security)
    return security


def _check_files(security: KafkaSecurity) -> None:
    files = {"ssl_ca_file": security.ca_file, "ssl_certificate_file": security.certificate_file}
    given = [f"kafka.{name}" for name, path in files.items() if path]
    if given and not security.has_tls:
        raise ConfigError(
            f"{given[0]} is set, and kafka.security_protocol {security.protocol} would not use it: set SASL_SSL or SSL"
        )
    if security.key_file and not security.certificate_file:
        raise ConfigError("kafka.ssl_key_file is set without kafka.ssl_certificate_file")


def _read(path: Path, variable: str) -> str:
    try:
        password = path.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise ConfigError(f"{variable}: {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{variable}: {path} holds no text") from None
    if not password:
        raise ConfigError(f"{variable}: {path} is empty")
    return password
