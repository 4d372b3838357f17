"""Wires forward, hold what is sent while they are cut, and heal."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from infra.chaos.addresses import hosts_file, new_listeners, properties, wires
from infra.chaos.wires import Wire
from infra.services.errors import ServiceError

LIMIT_S = 10


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def closed(reader: asyncio.StreamReader) -> bool:
    """Wait until a connection is closed or reset; return whether nothing came."""
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True


class Echo(asyncio.Protocol):
    """Answers with what is said, in capitals."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where to answer."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer."""
        self.transport.write(data.upper())


@asynccontextmanager
async def wired(*, holds: bool = True) -> AsyncIterator[Wire]:
    """Give a wire to a server that echoes."""
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    target = server.sockets[0].getsockname()[:2]
    wire = Wire(("127.0.0.2", free_port()), target, holds=holds)
    await wire.open()
    try:
        yield wire
    finally:
        wire.close()
        server.close()


async def test_a_wire_forwards_both_ways_more_than_any_buffer_takes() -> None:
    async with asyncio.timeout(LIMIT_S), wired() as wire:
        reader, writer = await asyncio.open_connection(*wire.source)
        sent = b"abcdefgh" * 1_000_000
        writer.write(sent)
        assert await reader.readexactly(len(sent)) == sent.upper()
        writer.close()


async def test_a_cut_wire_says_nothing_and_loses_nothing() -> None:
    async with asyncio.timeout(LIMIT_S), wired() as wire:
        reader, writer = await asyncio.open_connection(*wire.source)
        writer.write(b"one")
        assert await reader.readexactly(3) == b"ONE"
        wire.sever()
        writer.write(b"two")
        later_reader, later = await asyncio.open_connection(*wire.source)
        later.write(b"new")
        waiting = [asyncio.create_task(each.readexactly(3)) for each in (reader, later_reader)]
        done, _ = await asyncio.wait(waiting, timeout=0.3)
        assert not done, "neither an answer nor an error comes over a wire that is cut"
        wire.heal()
        assert await asyncio.gather(*waiting) == [b"TWO", b"NEW"]
        for each in (writer, later):
            each.close()


async def test_an_observers_wire_closes_its_connections_instead() -> None:
    async with asyncio.timeout(LIMIT_S), wired(holds=False) as wire:
        reader, writer = await asyncio.open_connection(*wire.source)
        writer.write(b"one")
        assert await reader.readexactly(3) == b"ONE"
        wire.sever()
        assert await closed(reader)
        wire.heal()
        reader, again = await asyncio.open_connection(*wire.source)
        again.write(b"two")
        assert await reader.readexactly(3) == b"TWO"
        for each in (writer, again):
            each.close()


async def test_a_wire_to_nobody_closes_the_connection() -> None:
    wire = Wire(("127.0.0.2", free_port()), ("127.0.0.1", free_port()))
    await wire.open()
    async with asyncio.timeout(LIMIT_S):
        reader, writer = await asyncio.open_connection(*wire.source)
        assert await closed(reader)
        writer.close()
    wire.close()


async def test_an_address_of_another_machine_is_refused_in_words() -> None:
    with pytest.raises(ServiceError, match="on Linux"):
        await Wire(("192.0.2.1", 9), ("127.0.0.1", 9)).open()


def test_cutting_a_broker_off_cuts_every_way_to_it_and_from_it_and_no_other() -> None:
    nodes = new_listeners(3)
    every = wires(nodes)
    assert len({id(wire) for each in every.values() for wire in each}) == 3 * 2 + 3 * 2 * 2
    mine = {id(wire) for wire in every[1]}
    between_others = [wire for wire in every[2] if id(wire) not in mine and wire in every[3]]
    assert len(between_others) == 4, "2 and 3 reach each other for data and for the quorum, both ways"
    assert len(mine) == 2 + 4 + 4, "clients and observers, the others to it, it to the others"


def test_each_broker_reaches_the_others_over_wires_of_its_own() -> None:
    nodes = new_listeners(3)
    every = [wire.source[0] for each in wires(nodes).values() for wire in each]
    for node in nodes:
        lines = [line.split() for line in hosts_file(node, nodes).splitlines()]
        hosts = {name: address for address, name in lines}
        assert hosts[node.name] == "127.0.0.1"
        others = [hosts[other.name] for other in nodes if other != node]
        assert len(set(others)) == 2
        assert set(others) <= set(every)
        text = properties(node, nodes)
        assert f"INTERNAL://{node.name}:{node.internal}" in text
        assert "min.insync.replicas=2" in text
