"""An authority of one's own, and the certificates that it vouches for."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from infra.security.files import write_private

AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 397
"""The longest life that is customary for a server's certificate."""
RENEW_DAYS = 30
"""A certificate with less time left is made anew."""
LOCAL_HOSTS = ("localhost", "127.0.0.1")
_CLOCK_SKEW = dt.timedelta(minutes=5)


@dataclass(frozen=True)
class Authority:
    """Vouches for certificates."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def kept_in(cls, folder: Path, now: dt.datetime) -> Authority:
        """Return the authority of the folder (ca.pem, ca.key), which is made where absent."""
        certificate, key = folder / "ca.pem", folder / "ca.key"
        if not certificate.exists():
            fresh = cls.new("finagent local authority", now)
            write_private(key, _pem(fresh.key))
            write_private(certificate, fresh.certificate.public_bytes(Encoding.PEM))
        loaded = load_pem_private_key(key.read_bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        return cls(x509.load_pem_x509_certificate(certificate.read_bytes()), loaded)

    @classmethod
    def new(cls, name: str, now: dt.datetime) -> Authority:
        """Make an authority."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _named(name)
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        builder = (
            _builder(subject, subject, key, key, now, AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
        )
        return cls(builder.sign(key, SHA256()), key)

    def issue(
        self, name: str, now: dt.datetime, hosts: Sequence[str] = LOCAL_HOSTS, days: int = CERTIFICATE_DAYS
    ) -> bytes:
        """Return a fresh key and its certificate, with the authority's, as PEM: for a server, or for a client."""
        key = ec.generate_private_key(ec.SECP256R1())
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = (
            _builder(_named(name), self.certificate.subject, key, self.key, now, days)
            .add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        )
        certificate = builder.sign(self.key, SHA256())
        chain = (certificate, self.certificate)
        return _pem(key) + b"".join(each.public_bytes(Encoding.PEM) for each in chain)

    def keep(self, path: Path, name: str, now: dt.datetime) -> None:
        """See to it that the file holds a certificate for that name on this machine that lasts for a while."""
        if not path.exists() or _ends(path) < now + dt.timedelta(days=RENEW_DAYS):
            write_private(path, self.issue(name, now))


def _ends(path: Path) -> dt.datetime:
    return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    now: dt.datetime,
    days: int,
) -> x509.CertificateBuilder:
    # From Python 3.13 on clients want certificates to name the keys (RFC 5280, 4.2.1).
    own, vouching = key.public_key(), issuer_key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(own)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(vouching), critical=False)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + dt.timedelta(days=days))
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
