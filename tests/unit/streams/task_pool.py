"""A tiny pool under the task loop: it counts an account's signals and says each count on the risk topic."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from schemas import KillSwitchChanged, Message, OrderFilled, Signal
from streams.broker import TopicConfig
from streams.clock import ManualClock
from streams.dead_letters import REASON
from streams.errors import HandlerError
from streams.memory_broker import MemoryBroker
from streams.outputs import Output, Outputs
from streams.record import Envelope, Event, Received, Record, TopicPartition
from streams.serde import Serde
from streams.slices import Work
from streams.snapshots import SnapshotPolicy, Snapshots
from streams.state import State
from streams.store import MemoryStore
from streams.task import Task
from streams.topics import changelog, dead_letters
from tests.unit.schemas.example_messages import example

POOL, SERDE = "counter", Serde()
PARTITIONS = {"instrument": 1, "account": 1, "workflow": 1, "single": 1}
SIGNALS, FILLS, RISK = (TopicPartition(name, 0) for name in ("signals", "fills", "risk"))
POISON = 13.0


class Count(State):
    """Signals of an account so far."""

    total: int = 0


class OneByOne:
    """Hands records over singly, as they come."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()

    def offer(self, event: Event) -> None:
        self._events.append(event)

    def next(self) -> Work | None:
        return Work(None, None, [self._events.popleft()]) if self._events else None


class Counter:
    """Counts; a score or price of 13 makes it raise."""

    pool = POOL
    owned: tuple[str, ...] = ("fills", "signals")
    broadcast: tuple[str, ...] = ("strategies",)

    def inbox(self, task: Task) -> OneByOne:
        return OneByOne()

    def due(self, task: Task) -> Sequence[Output]:
        return ()

    async def process(self, work: Work, task: Task) -> Outputs:
        [event] = work.events
        message, record = event.message, event.record
        count = task.states.get(Count, record.key)
        count.total += 1
        if POISON in (getattr(message, "score", None), getattr(message, "price", None)):
            poison = ("record", record.topic, record.partition, record.offset)
            raise HandlerError(f"13 at {record.place}", topic=record.topic, poison=poison)
        return self.outputs(event, count.total)

    def outputs(self, event: Event, total: int) -> Outputs:
        return Outputs([said(event.record.key, str(total), event.envelope.message_id)])


def said(account_id: str, reason: str, cause: str) -> Output:
    message = KillSwitchChanged(account_id=account_id, active=False, reason=reason, ts_event=1)
    return Output(message, cause, "run-1")


B = TypeVar("B", bound=MemoryBroker)


async def broker(kind: type[B] = MemoryBroker) -> B:  # type: ignore[assignment]
    made = kind()
    names = ("signals", "fills", "risk", "strategies")
    topics = {name: TopicConfig(1) for topic in names for name in (topic, dead_letters(topic))}
    await made.create_topics({**topics, changelog(POOL): TopicConfig(1, compacted=True)})
    return made


def signal(score: float, account_id: str = "acc") -> Signal:
    return Signal.model_validate(example(Signal).model_copy(update={"score": score, "account_id": account_id}))


def fill(price: float) -> OrderFilled:
    return OrderFilled.model_validate(example(OrderFilled).model_copy(update={"price": price}))


def record(place: TopicPartition, message: Message, name: str) -> Record:
    envelope = Envelope(name, type(message).__name__, "test", 1, "run-1", "cause")
    key = str(getattr(message, "account_id", "key"))
    return Record(place.topic, key, SERDE.encode(message), envelope.headers(), place.partition, 1)


def signals(scores: Iterable[float], start: int = 0) -> list[Record]:
    return [record(SIGNALS, signal(score), f"signal-{start + index}") for index, score in enumerate(scores)]


def task(broker_: MemoryBroker, processor: Counter | None = None) -> Task:
    return Task(broker_, processor or Counter(), 0, PARTITIONS, ManualClock(5_000_000), SERDE, poll_s=0.02)


async def run_until(task_: Task, done: Callable[[], bool]) -> None:
    """Run a task until something holds after one of its commits; raise what it raises."""

    def check(_: Task) -> None:
        if done():
            task_.stop.set()

    task_.on_commit = check
    async with asyncio.timeout(10):
        await task_.run()


def committed(broker_: MemoryBroker, place: TopicPartition) -> int:
    return broker_._committed[f"{POOL}.0"].get(place, 0)


async def run_through(
    broker_: MemoryBroker, processor: Counter | None = None, store: MemoryStore | None = None
) -> Task:
    """Run a task until it has committed all signals; with a store it keeps snapshots there, as often as it can."""
    made = task(broker_, processor)
    if store is not None:
        made.snapshots = Snapshots(SnapshotPolicy(store, 0.0), made.id)
    await run_until(made, lambda: committed(broker_, SIGNALS) == len(broker_.partition_log(SIGNALS)))
    return made


def reasons(broker_: MemoryBroker) -> list[str]:
    return [str(getattr(SERDE.decode(each.value), "reason", None)) for each in broker_.partition_log(RISK)]


def letters(broker_: MemoryBroker, topic: str) -> list[tuple[Received, str]]:
    log = broker_.partition_log(TopicPartition(dead_letters(topic), 0))
    return [(letter, dict(letter.headers)[REASON].decode()) for letter in log]
