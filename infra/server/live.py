"""The live view: follows the log from its beginning and keeps what the API shows, bounded."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import singledispatchmethod
from typing import Any, Self

from infra.observability.log_figures import LogFigures
from infra.server.accounts import Accounts
from infra.server.dead_letters import DeadLetters
from infra.server.events import EventHub
from infra.server.executions import Execution, Executions
from infra.server.history import History, seen_of
from infra.server.items import DenialItem, FillItem, Item, ReportItem, SignalItem, item_of
from infra.server.orders import Orders
from infra.server.views import account_view, risk_view, strategy_view, workflow_view
from infra.server.workflows import Workflows
from schemas import (
    ExecuteStrategy,
    Instrument,
    KillSwitchChanged,
    KillSwitchSet,
    Message,
    OrderDenied,
    OrderFilled,
    OrderReport,
    PolicyPublished,
    PositionsUpdated,
    Signal,
    SliceClosed,
    StartStrategy,
    StrategyStarted,
    StrategyStopped,
    SubmitOrder,
    Workflow,
)
from streams.broker import Broker, Reader
from streams.errors import BrokerError, DecodeError
from streams.record import Envelope, Event, Received, TopicPartition
from streams.serde import Serde
from streams.topics import (
    COMMANDS,
    DEAD_LETTER_SUFFIX,
    FILLS,
    INSTRUMENTS,
    ORDERS,
    POLICIES,
    POSITIONS,
    RISK,
    SIGNALS,
    STRATEGIES,
    TOPICS,
    WORKFLOWS,
    dead_letters,
)

log = logging.getLogger("finagent.server")
FOLLOWED = (COMMANDS, WORKFLOWS, STRATEGIES, INSTRUMENTS, SIGNALS, RISK, ORDERS, FILLS, POSITIONS, POLICIES)
_AGAIN_S = 1.0


class LiveView:
    """What the log says, as far as the API shows it; a slow client never holds it up."""

    def __init__(self, serde: Serde, hub: EventHub, history: int) -> None:
        self.hub = hub
        self.executions = Executions()
        self.workflows = Workflows(serde, history, self.executions.forget)
        self.accounts = Accounts(history)
        self.orders_state = Orders()
        self.signals = History[Signal](history)
        self.orders = History[SubmitOrder](history, self.orders_state.forget)
        self.fills = History[OrderFilled](history)
        self.denials = History[OrderDenied](history)
        self.dead_letters = DeadLetters(serde, history)
        self.policies: dict[str, PolicyPublished] = {}
        """Newest by policy_id."""
        self.runs: dict[str, StrategyStarted] = {}
        """Active runs by run_id."""
        self.figures = LogFigures()
        """Totals, for metrics."""
        self.problem = ""
        """Why the log cannot be followed at the moment."""
        self._serde = serde
        self._positions: dict[TopicPartition, int] = {}
        self._caught_up = False
        self._changed = asyncio.Condition()

    @classmethod
    @asynccontextmanager
    async def open(cls, broker: Broker, serde: Serde, hub: EventHub, history: int) -> AsyncIterator[Self]:
        """Catch up with the log, then follow it until the block ends."""
        view = cls(serde, hub, history)
        counts = await broker.topics()
        names = [*(topic.name for topic in FOLLOWED), *map(dead_letters, TOPICS)]
        places = [TopicPartition(name, number) for name in names for number in range(counts.get(name, 0))]
        view._positions = await broker.beginnings(places)
        await view._catch_up(broker, await broker.ends(places))
        following = asyncio.create_task(view._follow(broker), name="live view")
        try:
            yield view
        finally:
            following.cancel()
            await asyncio.wait([following])

    async def _catch_up(self, broker: Broker, ends: Mapping[TopicPartition, int]) -> None:
        async with broker.reader(self._positions) as reader:
            while any(reader.position(place) < end for place, end in ends.items()):
                await self._read(reader)
        self._caught_up = True

    async def _follow(self, broker: Broker) -> None:
        while True:
            try:
                async with broker.reader(self._positions) as reader:
                    while True:
                        await self._read(reader)
                        self.problem = ""
            except BrokerError as error:
                self.problem = f"the log cannot be followed: {error}"
                log.warning("%s; trying again", self.problem)
                await asyncio.sleep(_AGAIN_S)

    async def _read(self, reader: Reader) -> None:
        records = await reader.poll(0.5, 500)
        for record in records:
            self._take(record)
            self._positions[TopicPartition(record.topic, record.partition)] = record.offset + 1
        if records:
            async with self._changed:
                self._changed.notify_all()

    async def until(self, condition: Callable[[], bool], what: str, timeout_s: float = 30) -> None:
        """Wait until the log has led to a condition; raise BrokerError that says what was waited for."""
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(condition)
        except TimeoutError:
            raise BrokerError(f"waited {timeout_s:g} s for {what}") from None

    def _take(self, record: Received) -> None:
        if record.topic.endswith(DEAD_LETTER_SUFFIX):
            self.dead_letters.add(record)
            return
        try:
            message = self._serde.decode(record.value)
            if not isinstance(message, SliceClosed):
                self.figures.learn(message)
                self._learn(message, Event(message, Envelope.from_headers(record.headers), record))
        except DecodeError:
            return  # it is a dead letter by now, or the value of a deleted key

    @singledispatchmethod
    def _learn(self, message: Message, event: Event) -> None:
        """Take a message in; those of other types are not shown."""

    @_learn.register
    def _(self, message: Workflow, event: Event) -> None:
        value = event.record.value or b""
        if self.workflows.learn(message, value):
            # The bytes, because events that are kept would hold every result.
            self.tell("workflow", lambda: _json(workflow_view(self.workflows.decoded(value), results=False)))
            self._tell_strategy(self.executions.by_workflow.get(message.workflow_id))

    @_learn.register(ExecuteStrategy)
    @_learn.register(StartStrategy)
    def _(self, message: Any, event: Event) -> None:
        self.executions.learn_command(message)

    @_learn.register
    def _(self, message: StrategyStarted, event: Event) -> None:
        self.runs[message.run_id] = message
        self.accounts.learn_run(message)
        self._tell_strategy(self.executions.learn_start(message))
        self._tell_risk(message.account_id)

    @_learn.register
    def _(self, message: StrategyStopped, event: Event) -> None:
        self.runs.pop(message.run_id, None)
        self._tell_strategy(self.executions.learn_stop(message))

    @_learn.register
    def _(self, message: Instrument, event: Event) -> None:
        self.accounts.learn_instrument(message)

    @_learn.register
    def _(self, message: Signal, event: Event) -> None:
        self._add("signal", self.signals, event, lambda seen: item_of(seen, SignalItem))

    @_learn.register
    def _(self, message: SubmitOrder, event: Event) -> None:
        self._add("order", self.orders, event, self.orders_state.item)

    @_learn.register
    def _(self, message: OrderDenied, event: Event) -> None:
        self._add("denial", self.denials, event, lambda seen: item_of(seen, DenialItem))

    @_learn.register
    def _(self, message: OrderFilled, event: Event) -> None:
        self.orders_state.learn(message)
        self._add("fill", self.fills, event, lambda seen: item_of(seen, FillItem))

    @_learn.register
    def _(self, message: OrderReport, event: Event) -> None:
        self.orders_state.learn(message)
        more = {"report": type(message).__name__, "reason": getattr(message, "reason", "")}
        self.tell("report", lambda: item_of(seen_of(event), ReportItem, **more).model_dump_json())

    @_learn.register
    def _(self, message: PositionsUpdated, event: Event) -> None:
        self.accounts.learn_state(message)
        account = self.accounts.of(message.account_id)
        self.tell("position", lambda: _json(account_view(account, self.accounts)))

    @_learn.register
    def _(self, message: KillSwitchChanged, event: Event) -> None:
        self.accounts.learn_switch(message, event.envelope.causation_id)
        self._tell_risk(message.account_id)

    @_learn.register
    def _(self, message: KillSwitchSet, event: Event) -> None:
        self.accounts.learn_word(message)
        self._tell_risk(message.account_id)

    @_learn.register
    def _(self, message: PolicyPublished, event: Event) -> None:
        known = self.policies.get(message.policy_id)
        if known is None or message.version >= known.version:
            self.policies[message.policy_id] = message

    def _add(self, kind: str, history: History[Any], event: Event, shown: Callable[[Any], Item]) -> None:
        seen = seen_of(event)
        history.add(seen)
        self.tell(kind, lambda: shown(seen).model_dump_json())

    def _tell_strategy(self, execution: Execution | None) -> None:
        if execution is not None:
            self.tell("strategy", lambda: strategy_view(execution, self.workflows, results=False).model_dump_json())

    def _tell_risk(self, account_id: str) -> None:
        account = self.accounts.of(account_id)
        self.tell("risk", lambda: risk_view(account, self.accounts).model_dump_json())

    def tell(self, kind: str, write: Callable[[], str]) -> None:
        """Tell the clients of something that happened after the start."""
        if self._caught_up:
            self.hub.tell(kind, write)


def _json(view: Any) -> str:
    return view.model_dump_json() if view is not None else "null"
