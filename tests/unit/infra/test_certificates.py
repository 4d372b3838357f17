"""Certificates of the local authority, as clients of every supported Python check them."""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path

import pytest

from infra.security.keys import BROKER, Keys


def handshake(client: ssl.SSLContext, server: ssl.SSLContext, host: str) -> None:
    """Connect them in memory; raise SSLCertVerificationError where the client does not trust the server."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=host)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    for side in (ours, theirs, ours):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_client_that_checks_strictly_trusts_them(tmp_path: Path, host: str) -> None:
    """Python 3.13 and later check so by default."""
    keys = Keys.kept_in(tmp_path, dt.datetime.now(dt.UTC))
    client = ssl.create_default_context(cafile=str(keys.ca))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(keys.certificate(BROKER))
    handshake(client, server, host)
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        handshake(client, server, "elsewhere")
