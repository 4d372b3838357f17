"""Market data read back from the log, slice by slice, in the order in which a feed closed the slices."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Self

from agents.data.feed import Row
from schemas import Bar, BarBlock, CorporateAction, Instrument, KillSwitchSet, TickBlock
from streams.broker import Broker
from streams.errors import DecodeError, MissingData
from streams.reading import read_whole
from streams.record import Envelope, Event, Received, TopicPartition
from streams.serde import Serde
from streams.slices import Frontier, Phase, Role, SliceInbox, Work
from streams.topics import BARS, INSTRUMENTS, TICKS

REPLAYED = (TICKS.name, BARS.name)
"""The topics of market data."""
_READ = Role("account", (Phase("read", REPLAYED),))


class RecordedSlice(tuple[Row, ...]):
    """The rows of a slice, with what else its closing says."""

    ts: int
    """Its time, ns UTC."""
    switches: tuple[KillSwitchSet, ...]
    """What operators said of one account."""

    def __new__(cls, rows: Iterable[Row], ts: int, switches: tuple[KillSwitchSet, ...]) -> Self:
        """Keep the rows and the rest."""
        made = super().__new__(cls, rows)
        made.ts, made.switches = ts, switches
        return made


async def slices_of_log(
    broker: Broker,
    serde: Serde,
    start: int | None = None,
    end: int | None = None,
    prefix: str = "",
    account: str = "",
) -> AsyncIterator[Sequence[Row]]:
    """Yield the rows of each slice that has some; other arguments and errors as closed_slices.

    With an account, every slice comes as a RecordedSlice with the account's kill switch, also one without rows.
    """
    found = False
    async for work in closed_slices(broker, serde, start, end, prefix):
        rows = rows_of(work.events)
        found = found or bool(rows)
        if account:
            assert work.slice is not None
            switches = tuple(word for word in work.switches if word.account_id == account)
            yield RecordedSlice(rows, work.slice, switches)
        elif rows:
            yield rows
    if not found:
        raise MissingData(f"the log holds no slice from {start} to {end} ns")


async def closed_slices(
    broker: Broker, serde: Serde, start: int | None = None, end: int | None = None, prefix: str = ""
) -> AsyncIterator[Work]:
    """Yield each slice on `ticks` and `bars` whose time lies in [start, end), ns UTC, with its closings; None is open.

    Reading begins at the offsets for the start's time (records are stamped when they were recorded, so a history that
    was fed later is read from its beginning) and ends with what was there at the call. prefix: of a replayed run's
    topics, such as bt.<run_id>. Raises MissingData where the topics are not there.
    """
    names = {prefix + name: name for name in REPLAYED}
    counts = await broker.topics()
    missing = [name for name in names if name not in counts]
    if missing:
        raise MissingData(f"the log has no topic {missing[0]!r}; there are: {', '.join(sorted(counts))}")
    places = [TopicPartition(name, partition) for name in names for partition in range(counts[name])]
    ends = await broker.ends(places)
    inbox = SliceInbox(_READ, 0, {"instrument": counts[prefix + BARS.name], "account": 1}, {}, Frontier())
    async with broker.reader(await _starts(broker, places, start)) as reader:
        while any(reader.position(place) < ends[place] for place in places):
            for record in await reader.poll(0.5):
                if record.offset < ends[TopicPartition(record.topic, record.partition)]:
                    inbox.offer(_event(record, names, serde))
            while (work := inbox.next()) is not None:
                assert work.slice is not None
                if (start is None or work.slice >= start) and (end is None or work.slice < end):
                    yield work


async def _starts(broker: Broker, places: Sequence[TopicPartition], start: int | None) -> Mapping[TopicPartition, int]:
    first = await broker.beginnings(places)
    if start is None:
        return first
    at = await broker.offsets_for_times(dict.fromkeys(places, start // 1000000))
    # A slice is closed on all partitions, so all of them begin before the earliest one that matters.
    return {place: at[place] or first[place] for place in places} if all(at.values()) else first


def _event(record: Received, names: Mapping[str, str], serde: Serde) -> Event:
    plain = Received(
        names[record.topic],
        record.partition,
        record.offset,
        record.key,
        record.value,
        record.headers,
        record.timestamp_ms,
    )
    try:
        return Event(serde.decode(record.value), Envelope.from_headers(record.headers), plain)
    except DecodeError as error:
        raise MissingData(f"{record.place} cannot be read: {error}") from None


def rows_of(events: Sequence[Event]) -> list[Row]:
    """Return the rows of a slice one by one, in its order."""
    rows: list[Row] = []
    for event in events:
        message = event.message
        if isinstance(message, BarBlock):
            rows += message.bars()
        elif isinstance(message, Bar | TickBlock | CorporateAction):
            rows.append(message)
    return rows


async def instruments_of_log(broker: Broker, serde: Serde) -> list[Instrument]:
    """Return the reference data on `instruments`, the latest of each."""
    found: dict[str, Instrument] = {}
    async for record in read_whole(broker, [TopicPartition(INSTRUMENTS.name, 0)]):
        message = serde.decode(record.value)
        if isinstance(message, Instrument):
            found[message.instrument_id] = message
    return list(found.values())
