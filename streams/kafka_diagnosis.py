"""Why a Kafka that is there cannot be used: the reason that its client library only logs."""

from __future__ import annotations

import asyncio
import ssl
from typing import NamedTuple

from aiokafka import errors as kafka_errors
from aiokafka.conn import create_conn
from aiokafka.protocol.metadata import MetadataRequest

from streams.kafka_security import KafkaSecurity
from streams.tls import untrusted

ANSWER_S = 5.0
"""How long one broker may take to show what is wrong."""
_LOGIN = (kafka_errors.SaslAuthenticationFailed, kafka_errors.AuthenticationFailedError)


class Refusal(NamedTuple):
    """Why a broker that is there cannot be used."""

    why: str
    """The reason, and what to do."""
    certain: bool = True
    """False: a broker that starts or stops looks the same."""


async def refusal(bootstrap: str, security: KafkaSecurity) -> Refusal | None:
    """Return why no connection comes about though a broker is there; None where none is there, or all is well by now.

    Every address is tried until one shows a reason.
    """
    for address in bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        if port.isdigit() and (found := await _refusal(host.strip("[]"), int(port), security)) is not None:
            return found
    return None


async def _refusal(host: str, port: int, security: KafkaSecurity) -> Refusal | None:
    try:
        await _connected(host, port, security)
    except ssl.SSLCertVerificationError as error:
        return Refusal(untrusted(error, host, "kafka.ssl_ca_file"))
    except _LOGIN:
        return Refusal(
            f"Kafka refuses the user {security.username!r} or its password: check FINAGENT_KAFKA_USERNAME, "
            "FINAGENT_KAFKA_PASSWORD or FINAGENT_KAFKA_PASSWORD_FILE, and that the user exists for "
            f"{security.mechanism}"
        )
    except kafka_errors.UnsupportedSaslMechanismError:
        return Refusal(f"Kafka does not take kafka.sasl_mechanism {security.mechanism}: take one that it allows")
    except (kafka_errors.KafkaError, OSError, TimeoutError):
        return await _closed(host, port, security)
    return None


async def _connected(host: str, port: int, security: KafkaSecurity) -> None:
    """Connect as the client library does, and ask what every client asks first."""
    options = security.client_options()
    connection = await create_conn(host, port, request_timeout_ms=int(ANSWER_S * 1000), **options)
    try:
        await connection.send(MetadataRequest([]))
    finally:
        connection.close()


async def _closed(host: str, port: int, security: KafkaSecurity) -> Refusal | None:
    """Explain a connection that is closed without a word."""
    speaks_tls = await _speaks_tls(host, port)
    if speaks_tls is None:
        return None
    if speaks_tls and not security.has_tls:
        return Refusal(f"Kafka at {host}:{port} wants TLS: set kafka.security_protocol to SASL_SSL, or to SSL")
    if speaks_tls and not security.has_login:
        return Refusal(
            f"Kafka at {host}:{port} hangs up: it asks for a client certificate that it trusts "
            "(kafka.ssl_certificate_file), or for a password (kafka.security_protocol SASL_SSL)",
            certain=False,
        )
    return Refusal(
        f"{host}:{port} hangs up: is it Kafka, and kafka.security_protocol {security.protocol} right for this port?",
        certain=False,
    )


async def _speaks_tls(host: str, port: int) -> bool | None:
    """Return whether a server speaks TLS; None where there is none."""
    # Nothing is sent through it, so it need not be trusted.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        async with asyncio.timeout(ANSWER_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except (ssl.SSLError, ConnectionResetError, TimeoutError):
        return False
    except OSError:
        return None
    writer.transport.abort()
    return True
