"""TLS for clients: whom they trust, and what to do where a server cannot be trusted."""

from __future__ import annotations

import ssl

from streams.errors import ConfigError

_EXPIRED, _WRONG_NAMES = 10, (62, 64)
"""OpenSSL's codes of what is wrong with a certificate."""


def tls_context(ca_file: str, setting: str) -> ssl.SSLContext:
    """Return a client's context that trusts these authorities, the system's where none are named.

    Raises ConfigError that names the setting.
    """
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except ssl.SSLError as error:
        raise ConfigError(f"{setting}: {ca_file} holds no PEM certificate ({error.reason})") from None
    except OSError as error:
        raise ConfigError(f"{setting}: {ca_file} cannot be read: {error.strerror}") from None


def untrusted(error: ssl.SSLCertVerificationError, host: str, setting: str) -> str:
    """Say what is wrong with a server's certificate, and what to do; setting names the trusted authorities."""
    if error.verify_code == _EXPIRED:
        return f"the certificate of {host} has expired: renew it there"
    if error.verify_code in _WRONG_NAMES:
        return f"the certificate of {host} is for another host: use a name that stands in it ({error.verify_message})"
    return (
        f"the certificate of {host} is not vouched for by an authority that is trusted here "
        f"({error.verify_message}): name the authority's certificate in {setting}"
    )
