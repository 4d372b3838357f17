"""Find dead letters on the log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from streams.broker import Broker
from streams.dead_letters import Letter
from streams.errors import ConfigError, MissingData
from streams.reading import read_whole
from streams.record import TopicPartition
from streams.topics import DEAD_LETTER_SUFFIX, dead_letters


@dataclass(frozen=True)
class Wanted:
    """Which dead letters."""

    topic: str | None = None
    """Of this topic, or of this dead-letter topic."""
    reason: str | None = None
    """Of this kind, or with these words in their reason."""
    since_ms: int | None = None
    """Refused at this time or later, ms UTC."""

    def fits(self, letter: Letter) -> bool:
        """Return whether a letter on a topic that is read is wanted."""
        late = self.since_ms is None or letter.record.timestamp_ms >= self.since_ms
        return late and (self.reason is None or self.reason == letter.kind or self.reason in letter.reason)


async def letters(broker: Broker, wanted: Wanted) -> AsyncIterator[Letter]:
    """Yield the dead letters that are wanted, those of a partition in their order; raise MissingData for no topic."""
    places = await _places(broker, wanted.topic)
    start = await broker.beginnings(places)
    if wanted.since_ms is not None:
        first = await broker.offsets_for_times(dict.fromkeys(places, wanted.since_ms))
        start = {place: offset for place in places if (offset := first[place]) is not None}
    if not start:
        return
    async for record in read_whole(broker, list(start), start):
        letter = Letter(record)
        if wanted.fits(letter):
            yield letter


async def _places(broker: Broker, name: str | None) -> list[TopicPartition]:
    counts = await broker.topics()
    known = sorted(each for each in counts if each.endswith(DEAD_LETTER_SUFFIX))
    if name is not None:
        wanted = name if name.endswith(DEAD_LETTER_SUFFIX) else dead_letters(name)
        if wanted not in known:
            raise MissingData(f"there is no topic {wanted!r}, expected one of {', '.join(known) or 'none'}")
        known = [wanted]
    return [TopicPartition(each, number) for each in known for number in range(counts[each])]


def place_of(text: str) -> tuple[TopicPartition, int]:
    """Return the partition and offset that topic/partition/offset names; a topic may be named without its suffix."""
    name, *numbers = text.rsplit("/", 2)
    if len(numbers) != 2 or not all(number.isdecimal() for number in numbers):
        raise ConfigError(f"{text!r} is no dead letter's place, expected topic/partition/offset as `dlq list` shows it")
    full = name if name.endswith(DEAD_LETTER_SUFFIX) else dead_letters(name)
    return TopicPartition(full, int(numbers[0])), int(numbers[1])


async def letter_at(broker: Broker, place: TopicPartition, offset: int) -> Letter:
    """Return one dead letter; raise MissingData where there is none."""
    known = await _places(broker, place.topic)
    where = f"{place.topic}/{place.partition}/{offset}"
    if place not in known:
        raise MissingData(f"there is no dead letter at {where}: the topic has {len(known)} partitions")
    begin, end = (await broker.beginnings([place]))[place], (await broker.ends([place]))[place]
    if begin <= offset < end:
        async with aclosing(read_whole(broker, [place], {place: offset})) as records:
            async for record in records:
                if record.offset == offset:
                    return Letter(record)
                break
    raise MissingData(f"there is no dead letter at {where}: the partition has offsets {begin} to {end}")
