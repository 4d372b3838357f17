"""Trace a message on the log: read the decisions once, then only the market data that the chain names."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

from agents.context import bar_id, tick_id
from orchestrator.chain import Link, chain
from orchestrator.decision_log import LAST, Log
from orchestrator.summaries import row_summary
from schemas import Bar, BarBlock, Message, TickBlock
from streams.broker import Broker, partition_of
from streams.errors import DecodeError
from streams.reading import read_whole
from streams.record import Envelope, Event, Received, TopicPartition
from streams.serde import Serde
from streams.topics import BARS, TICKS, TOPICS

__all__ = ["LAST", "Link", "Log", "chain", "row_ids", "row_link", "trace", "traces"]
_DATA = (TICKS.name, BARS.name)
_SLICE = "slice"


async def trace(broker: Broker, serde: Serde, wanted: str) -> list[Link]:
    """Return the chain of a message id, row id or `last`; raise MissingData that names what there is instead."""
    return (await traces(broker, serde, [wanted]))[wanted]


async def traces(broker: Broker, serde: Serde, wanted: Sequence[str]) -> dict[str, list[Link]]:
    """Return the chains of several ids, reading the log once; raise MissingData as trace does."""
    log = Log([event async for event in _decisions(broker, serde)])
    first = [link for each in wanted for link in chain(log, each)]
    missing = {link.message_id: link for link in first if not link.topic and link.instrument_id}
    rows = {link.message_id: link async for link in _rows(broker, serde, list(missing.values()))} if missing else {}
    return {each: chain(log, each, rows) for each in wanted}


async def _decisions(broker: Broker, serde: Serde) -> AsyncIterator[Event]:
    counts = await broker.topics()
    names = [name for name in TOPICS if name in counts and name not in _DATA]
    async for record in read_whole(broker, [TopicPartition(name, p) for name in names for p in range(counts[name])]):
        try:
            yield Event(serde.decode(record.value), Envelope.from_headers(record.headers), record)
        except DecodeError:
            continue  # it is a dead letter by now


async def _rows(broker: Broker, serde: Serde, missing: Sequence[Link]) -> AsyncIterator[Link]:
    """Find rows among the records of their instrument and slice, so that few ids are computed."""
    counts = await broker.topics()
    wanted = {link.message_id for link in missing}
    sought = {(link.instrument_id, str(link.ts).encode()) for link in missing}
    places = {
        TopicPartition(name, partition_of(link.instrument_id, counts[name])) for link in missing for name in _DATA
    }
    async for record in read_whole(broker, sorted(places)):
        if (record.key, dict(record.headers).get(_SLICE)) not in sought:
            continue
        for row_id, data, row in row_ids(serde.decode(record.value)):
            if row_id in wanted:
                yield row_link(row_id, data, row, record)


def row_ids(message: Message) -> Iterator[tuple[str, Bar | TickBlock, int]]:
    """Yield each market-data row of a message: its id, the bar or block that holds it, its place in the block."""
    bars: Iterable[Bar] = ()
    if isinstance(message, TickBlock):
        yield from ((tick_id(message, row), message, row) for row in range(len(message)))
    elif isinstance(message, Bar):
        bars = (message,)
    elif isinstance(message, BarBlock):
        bars = message.bars()
    yield from ((bar_id(bar), bar, 0) for bar in bars)


def row_link(row_id: str, data: Bar | TickBlock, row: int, record: Received | None = None) -> Link:
    """Return a market-data row as a link; without a record it has no place on a log."""
    ts = data.base_ts + int(data.dt_ns[row]) if isinstance(data, TickBlock) else data.ts_event
    place = (record.topic, record.partition, record.offset, ts) if record else ("", -1, -1, ts)
    return Link("market data", row_summary(data, row), row_id, 0, *place, data.instrument_id)
