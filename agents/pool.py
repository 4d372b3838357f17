"""The agent pool: plain functions registered as handlers of events and answers to workflow steps.

    pool = AgentPool("breakout", role="alpha")

    @pool.on
    def decide(bar: Bar, run: Run, state: Highs) -> Signal | None: ...

    @pool.step("describe")
    def describe(parameters: dict, inputs: Inputs) -> dict: ...

The annotation of the first parameter chooses what a handler gets: one event type (or a union), or Slice for the close
of a slice. The others are filled by their annotation: a State subclass (the state of the key), Run (called once per
active run that names this pool), Context. What it returns or yields is published. The function stays callable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar, overload

from agents.handlers import Handler, check_plain, handler_of
from schemas import Message
from streams.errors import UnknownAction
from streams.slices import ROLES, TABLES, Role
from streams.topics import Topic, topic_of

F = TypeVar("F", bound=Callable[..., Any])
RoleName = Literal["alpha", "portfolio", "risk", "execution"]
SUFFIX = "_agent_pool"


@dataclass
class AgentPool:
    """A named set of handlers and step answers.

    A pool with a role takes part in the slices of the data plane; one without handles records as they come.
    """

    name: str
    role: RoleName | None = None
    handlers: list[Handler] = field(default_factory=list)
    actions: dict[str, Callable[..., Any]] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Return the name that workflow steps use."""
        return self.name if self.name.endswith("_pool") else self.name + SUFFIX

    @property
    def place(self) -> Role | None:
        """Return the pool's place in the data plane, with the tables that its handlers take."""
        if self.role is None:
            return None
        role = ROLES[self.role]
        return replace(role, tables=(*role.tables, *self._tables)) if self._tables else role

    @property
    def _tables(self) -> list[str]:
        topics = {topic_of(kind).name for handler in self.handlers for kind in handler.types}
        return sorted(topics & TABLES)

    @overload
    def on(self, function: F) -> F: ...

    @overload
    def on(self, *, phase: str) -> Callable[[F], F]: ...

    def on(self, function: F | None = None, *, phase: str | None = None) -> F | Callable[[F], F]:
        """Register a handler; usable with and without parentheses."""

        def register(handler: F) -> F:
            self.handlers.append(handler_of(handler, phase, self.name, self.place))
            return handler

        return register if function is None else register(function)

    def step(self, action: str) -> Callable[[F], F]:
        """Register the answer to a workflow step."""

        def register(answer: F) -> F:
            check_plain(answer)
            self.actions[action] = answer
            return answer

        return register

    @property
    def answers_steps(self) -> bool:
        """Return whether workflow steps may be addressed to it."""
        return bool(self.actions)

    @property
    def known_actions(self) -> frozenset[str] | None:
        """Return what may be asked of it; None: not known beforehand."""
        return frozenset(self.actions)

    @property
    def problem(self) -> str:
        """Return what keeps the pool from answering; empty where nothing does."""
        return ""

    def answer(self, action: str) -> Callable[..., Any]:
        """Return the function for an action; raise UnknownAction naming those there are."""
        try:
            return self.actions[action]
        except KeyError:
            known = ", ".join(sorted(self.actions)) or "none"
            raise UnknownAction(f"{self.address} has no action {action!r}; it has: {known}") from None

    def topics(self) -> list[Topic]:
        """Return the topics of the event types that its handlers take."""
        return sorted({topic_of(kind) for h in self.handlers for kind in h.types}, key=lambda topic: topic.name)

    def handlers_of(self, kind: type[Message]) -> Iterator[Handler]:
        """Yield the handlers of an event type."""
        return (handler for handler in self.handlers if kind in handler.types)
