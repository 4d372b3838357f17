"""How a client reaches Kafka safely: TLS, and the proof of who it is."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Any, Literal

from streams.errors import ConfigError
from streams.tls import tls_context

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"]


@dataclass(frozen=True)
class KafkaSecurity:
    """The protocol of a connection, the files that vouch for both ends, and who the client is."""

    protocol: Protocol = "PLAINTEXT"
    mechanism: Mechanism = "SCRAM-SHA-512"
    """How the password is proved; SASL protocols only."""
    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: str = ""
    """PEM certificates of the authorities that vouch for brokers; empty: those of the system."""
    certificate_file: str = ""
    """PEM certificate of the client, for brokers that ask for one; empty: none."""
    key_file: str = ""
    """Its PEM key; empty: it stands in the certificate's file."""

    @property
    def has_tls(self) -> bool:
        """Return whether connections are encrypted."""
        return self.protocol in ("SSL", "SASL_SSL")

    @property
    def has_login(self) -> bool:
        """Return whether the client proves a password."""
        return self.protocol in ("SASL_PLAINTEXT", "SASL_SSL")

    def context(self) -> ssl.SSLContext | None:
        """Return what TLS goes by, the files read anew; None without TLS. Raises ConfigError that names a bad file.

        Certificates and host names are checked.
        """
        if not self.has_tls:
            return None
        context = tls_context(self.ca_file, "kafka.ssl_ca_file")
        if self.certificate_file:
            _identify(context, self.certificate_file, self.key_file)
        return context

    def client_options(self) -> dict[str, Any]:
        """Return the options that every client of aiokafka takes."""
        options: dict[str, Any] = {"security_protocol": self.protocol, "ssl_context": self.context()}
        if self.has_login:
            options |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return options


def _identify(context: ssl.SSLContext, certificate: str, key: str) -> None:
    def no_password() -> str:
        raise ConfigError(f"kafka.ssl_key_file: {key or certificate} is locked with a password; give an unlocked key")

    try:
        context.load_cert_chain(certificate, key or None, no_password)
    except ssl.SSLError as error:
        raise ConfigError(
            f"kafka.ssl_certificate_file: {certificate} and {key or 'the key in it'} are no PEM certificate and its "
            f"key ({error.reason})"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"kafka.ssl_certificate_file: {certificate} or {key or 'its key'} cannot be read: {error.strerror}"
        ) from None
