"""Pools under the task loop."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from agents.dispatch import Dispatch, topics_of
from agents.pool import AgentPool
from schemas import PolicyPublished, SliceClosed, StrategyStarted
from streams.ids import derive_id, slice_id
from streams.outputs import Output, Outputs
from streams.processor import Inbox
from streams.record import Event, Received
from streams.slices import Phase, Role, SliceInbox, Work
from streams.state import State
from streams.task import Task
from streams.topics import POLICIES, topic

MAX_BATCH = 100
"""Records outside slices that are handled in one go."""


class StartedRun(State):
    """A run that this task knows of."""

    started: StrategyStarted | None = None


class ReadPolicy(State):
    """How far this task has read a policy."""

    version: int = 0
    """The newest version."""


class ArrivalInbox:
    """Hand over records as they come, in bounded batches: between two the process can say that it is alive."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()

    def offer(self, event: Event) -> None:
        """Take one record in."""
        self._events.append(event)

    def next(self) -> Work | None:
        """Return the first of those that have come."""
        events = [self._events.popleft() for _ in range(min(len(self._events), MAX_BATCH))]
        return Work(None, None, events) if events else None


class PoolProcessor:
    """A pool's event handlers, for one task."""

    def __init__(self, pool: AgentPool) -> None:
        self._pool = pool
        self.pool = pool.name
        self.owned, self.broadcast = topics_of(pool)

    def inbox(self, task: Task) -> Inbox:
        """Make the inbox from the restored state."""

        def set_aside(work: Work, reason: str) -> None:
            task.dead_letter(_data_closing(work), reason)

        self._dispatch = Dispatch(self._pool, task.partition, task.partitions, task.states, task.poisoned, set_aside)
        for key in task.states.keys(StartedRun):
            self._learn(task.states.get(StartedRun, key).started)
        role = self._pool.place
        if role is None:
            return ArrivalInbox()
        self._inbox = SliceInbox(
            role, task.partition, task.partitions, self._dispatch.runs, task.meta.frontier, self._policies(role, task)
        )
        return self._inbox

    def _policies(self, role: Role, task: Task) -> dict[str, int] | None:
        if POLICIES.name not in role.tables:
            return None
        self._read = {key: task.states.get(ReadPolicy, key).version for key in task.states.keys(ReadPolicy)}
        return self._read

    def _learn(self, started: StrategyStarted | None) -> None:
        if started is not None:
            self._dispatch.runs[started.run_id] = started

    def due(self, task: Task) -> Sequence[Output]:
        """Return nothing: slices are the data plane's only clock."""
        return ()

    async def process(self, work: Work, task: Task) -> Outputs:
        """Handle a phase of a slice, or records outside slices."""
        role = self._pool.place
        if role is None or work.phase is None:
            return Outputs([output for event in work.events for output in self._arrived(event, task)])
        task.meta.frontier = self._inbox.frontier
        return Outputs([*self._dispatch.slice(work), *_closings(work, role, work.phase, task)])

    def _arrived(self, event: Event, task: Task) -> list[Output]:
        if self._pool.place is None:
            return self._dispatch.arrived(event, task.clock.now())
        if isinstance(event.message, StrategyStarted):
            task.states.get(StartedRun, event.message.run_id).started = event.message
            self._learn(event.message)
        if isinstance(event.message, PolicyPublished) and event.message.serving:
            return self._published(event, event.message, task)
        return []

    def _published(self, event: Event, policy: PolicyPublished, task: Task) -> list[Output]:
        state = task.states.get(ReadPolicy, policy.policy_id)
        state.version = self._read[policy.policy_id] = max(state.version, policy.version)
        return self._dispatch.arrived(event, policy.ts_event)


def _data_closing(work: Work) -> Received:
    """Return the closing that stands for the slice in a dead letter: one of a partition that had rows."""
    closings = [(event.record, event.message) for event in work.closings if isinstance(event.message, SliceClosed)]
    return next((record for record, closing in closings if closing.rows), closings[0][0])


def _closings(work: Work, role: Role, phase: Phase, task: Task) -> Iterator[Output]:
    if phase.announces is None or work.slice is None:
        return
    family = topic(phase.announces).family
    targets = [task.partition] if family == role.owner else range(task.partitions[family])
    source = task.processor.pool
    closing = SliceClosed(ts_event=work.slice, source=source, partition=task.partition, stage=phase.name)
    cause = slice_id(work.slice)
    for target in targets:
        name = derive_id(cause, source, task.partition, phase.name, target)
        yield Output(closing, cause, str(work.slice), phase.announces, str(target), target, name)
