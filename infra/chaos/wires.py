"""TCP wires between programs and brokers, which can be cut without a word and healed."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import cast

from infra.services.errors import ServiceError

Address = tuple[str, int]


class Wire:
    """Forward connections from one address to another; while it is cut, hold what is sent, or refuse connections.

    A wire that holds acknowledges nothing beyond what the system's buffers take, and resets nothing: to both sides it
    looks like packets that are lost. holds=False closes its connections instead, and every new one.
    """

    def __init__(self, source: Address, target: Address, *, holds: bool = True) -> None:
        self.source = source
        self.target = target
        self.cut = False
        self._holds = holds
        self._ends: set[_End] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen; raise ServiceError where the address cannot be used."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: _Caller(self), *self.source)
        except OSError as error:
            raise ServiceError(
                f"no TCP wire from {self.source[0]}:{self.source[1]}, expected every address of 127.0.0.0/8 to be this "
                f"machine's, as on Linux: {error.strerror}"
            ) from error

    def close(self) -> None:
        """Stop listening and drop every connection."""
        if self._server is not None:
            self._server.close()
        self._drop()

    def sever(self) -> None:
        """Let nothing through any more."""
        self.cut = True
        if not self._holds:
            self._drop()
        self._flow()

    def heal(self) -> None:
        """Let what is held go on its way, and all that follows."""
        self.cut = False
        self._flow()

    def joined(self, end: _End) -> bool:
        """Take a connection's end in; return whether it may stay."""
        if self.cut and not self._holds:
            return False
        self._ends.add(end)
        return True

    def left(self, end: _End) -> None:
        """Forget an end that was closed."""
        self._ends.discard(end)

    def _drop(self) -> None:
        for end in list(self._ends):
            end.drop()

    def _flow(self) -> None:
        for end in list(self._ends):
            end.flow()


class _End(asyncio.Protocol):
    """One end of a connection through a wire: what it reads is written to the other."""

    def __init__(self, wire: Wire, other: _End | None = None) -> None:
        self._wire = wire
        self._other = other
        self._transport: asyncio.Transport | None = None
        self._full = False
        self._held: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join the wire."""
        self._transport = cast(asyncio.Transport, transport)
        if not self._wire.joined(self):
            self.drop()
            return
        self.flow()

    def data_received(self, data: bytes) -> None:
        """Pass on what was read, or hold it: a pause takes effect only with the next read on some event loops."""
        self._held.append(data)
        self.flow()

    def pause_writing(self) -> None:
        """Have the other end wait: this one takes no more for now."""
        self._fill(True)

    def resume_writing(self) -> None:
        """Let the other end go on."""
        self._fill(False)

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the other end, once it has written what it has."""
        self._wire.left(self)
        self._transport = None
        if self._other is not None and self._other._transport is not None:
            self._other._transport.close()

    def drop(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def flow(self) -> None:
        """Read and pass on, or stop reading, as the wire and the other end allow."""
        if self._transport is None or self._transport.is_closing():
            return
        other = self._other
        if self._wire.cut or other is None or other._transport is None or other._full:
            self._transport.pause_reading()
            return
        for data in self._held:
            other._transport.write(data)
        self._held.clear()
        if not self._transport.is_reading():
            self._transport.resume_reading()

    def _fill(self, full: bool) -> None:
        self._full = full
        if self._other is not None:
            self._other.flow()


class _Caller(_End):
    """The end of who called: it is connected to the target as soon as the wire is whole."""

    _connecting: asyncio.Task[None] | None = None

    def flow(self) -> None:
        """Connect to the target first."""
        if self._other is None and self._connecting is None and not self._wire.cut and self._transport is not None:
            self._connecting = asyncio.create_task(self._connect())
        super().flow()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        answering = _End(self._wire, self)
        with suppress(OSError):
            await loop.create_connection(lambda: answering, *self._wire.target)
        if answering._transport is None or self._transport is None:
            for end in (self, answering):
                end.drop()
            return
        self._other = answering
        self.flow()
