"""The worker: takes backtests off the topic `backtests` and answers on `backtest_results`."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from infra.sweep.processes import Result, Workers
from schemas import RunBacktest
from streams.host import TaskKind
from streams.outputs import Output, Outputs
from streams.processor import Inbox
from streams.record import Event
from streams.slices import Work
from streams.task import Task

NAME = "backtests"


class OneByOne:
    """Hands over records singly, so that each is committed when it is done."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()

    def offer(self, event: Event) -> None:
        """Take one record in."""
        self._events.append(event)

    def next(self) -> Work | None:
        """Return the oldest."""
        return Work(None, None, [self._events.popleft()]) if self._events else None


class BacktestProcessor:
    """Runs one backtest at a time for each partition; one that was not committed runs again elsewhere."""

    pool = NAME
    owned: tuple[str, ...] = ("backtests",)
    broadcast: tuple[str, ...] = ()

    def __init__(self, run: Callable[[RunBacktest], Awaitable[Result]]) -> None:
        self._run = run

    def inbox(self, task: Task) -> Inbox:
        """Take jobs as they come."""
        return OneByOne()

    def due(self, task: Task) -> Sequence[Output]:
        """Return nothing: there are no timers."""
        return ()

    async def process(self, work: Work, task: Task) -> Outputs:
        """Run a backtest and publish its result."""
        outputs = []
        for event in work.events:
            assert isinstance(event.message, RunBacktest)
            result = await self._run(event.message)
            outputs.append(Output(result, event.envelope.message_id, event.message.sweep_id, partition=task.partition))
        return Outputs(outputs)


def worker_kind(workers: Workers) -> TaskKind:
    """Return the tasks of a worker that computes in processes."""
    return TaskKind(NAME, "backtest", lambda: BacktestProcessor(workers.run))
