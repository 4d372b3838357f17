"""Logs of slices written by hand, and their arrival at a task in any order that Kafka may give."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from schemas import Bar, Message, SliceClosed, StrategyStarted, SubmitOrder
from streams.broker import partition_of
from streams.record import Envelope, Event, Received, TopicPartition
from streams.slices import FEED, SliceInbox, Work
from tests.unit.schemas.example_messages import example

INSTRUMENTS = tuple(f"{symbol}.XNAS" for symbol in ("AAPL", "GOOG", "IBM", "META", "MSFT", "NVDA"))
ACCOUNTS = ("acc-1", "acc-2", "acc-3", "acc-4")
Shown = tuple[str | None, int | None, tuple[str, ...]]


def bar(instrument_id: str, ts: int) -> Bar:
    changes = {"instrument_id": instrument_id, "ts_open": ts, "ts_event": ts}
    return Bar.model_validate(example(Bar).model_copy(update=changes))


def order(instrument_id: str, account_id: str, ts: int) -> SubmitOrder:
    changes = {"instrument_id": instrument_id, "account_id": account_id, "ts_event": ts}
    return SubmitOrder.model_validate(example(SubmitOrder).model_copy(update=changes))


def started(run_id: str, alpha_pool: str = "alpha", account_id: str = "acc-1") -> StrategyStarted:
    changes = {"run_id": run_id, "alpha_pool": alpha_pool, "account_id": account_id}
    return StrategyStarted.model_validate(example(StrategyStarted).model_copy(update=changes))


class Log:
    """Partitions in the order in which they were written."""

    def __init__(self, partitions: Mapping[str, int]) -> None:
        self.counts = partitions
        self.places: dict[TopicPartition, list[Event]] = defaultdict(list)

    def write(self, place: TopicPartition, message: Message, source: str, slice_: int | None, name: str) -> Event:
        """Append one message; slice_ is the slice in which it was said."""
        kind = type(message).__name__
        envelope = Envelope(name, kind, source, slice_ or 0, "run", "cause", slice_)
        record = Received(place.topic, place.partition, len(self.places[place]), "key", b"", (), 0)
        self.places[place].append(Event(message, envelope, record))
        return self.places[place][-1]

    def bars(self, ts: int, instruments: Iterable[str]) -> None:
        for instrument in instruments:
            place = TopicPartition("bars", partition_of(instrument, self.counts["instrument"]))
            self.write(place, bar(instrument, ts), FEED, ts, f"{instrument}@{ts}")

    def close_feed(self, ts: int, runs: Sequence[str] = ()) -> None:
        for topic in ("ticks", "bars"):
            for partition in range(self.counts["instrument"]):
                self.close(TopicPartition(topic, partition), ts, FEED, 0, "data", runs)

    def close(
        self, place: TopicPartition, ts: int, source: str, own: int, stage: str, runs: Sequence[str] = ()
    ) -> Event:
        closing = SliceClosed(ts_event=ts, source=source, partition=own, stage=stage, runs=tuple(runs))
        return self.write(place, closing, source, ts, f"{source}.{own} closes {ts} on {place}")

    def arrivals(self, seed: int, without: frozenset[str] = frozenset()) -> Iterator[Event]:
        """Yield each partition in its order, and the partitions in any."""
        rng = np.random.default_rng(seed)
        logs = [[event for event in log if event.envelope.message_id not in without] for log in self.places.values()]
        waiting = [log[::-1] for log in logs if log]
        while waiting:
            at = int(rng.integers(0, len(waiting)))
            yield waiting[at].pop()
            waiting = [log for log in waiting if log]


def settled(work: Work) -> list[str]:
    """Return the ids of what a piece of work settles."""
    return [event.envelope.message_id for event in [*work.events, *work.closings]]


def shown(work: Work) -> Shown:
    """Return a piece of work as far as it decides anything."""
    names = tuple(event.envelope.message_id for event in work.events)
    return (work.phase.name if work.phase else None, work.slice, names)


def drain(inbox: SliceInbox, arrivals: Iterable[Event]) -> list[Work]:
    """Offer events as they arrive, and take work as soon as there is some."""
    works = []
    for event in arrivals:
        inbox.offer(event)
        while (work := inbox.next()) is not None:
            works.append(work)
    return works
