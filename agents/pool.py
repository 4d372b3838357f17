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

import inspect
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints, overload

import schemas
from agents.context import Context, Run, Slice
from schemas import Message
from streams.errors import ConfigError, UnknownAction
from streams.slices import ROLES, Role
from streams.state import State
from streams.topics import Topic, topic_of

F = TypeVar("F", bound=Callable[..., Any])
RoleName = Literal["alpha", "portfolio", "risk", "execution"]
SUFFIX = "_agent_pool"


@dataclass(frozen=True)
class Handler:
    """A registered function and what it asks for."""

    function: Callable[..., Any]
    types: tuple[type[Message], ...]
    """Event types; empty for the close of a slice."""
    wants: tuple[tuple[str, Any], ...]
    """Further parameters: (name, State subclass, Run or Context)."""
    phase: str | None = None
    """For the close of a slice: the phase at whose end it is called; None: the last one."""

    @property
    def state(self) -> type[State] | None:
        """Return the class of the state that it asks for."""
        return next((want for _, want in self.wants if isinstance(want, type) and issubclass(want, State)), None)

    @property
    def per_run(self) -> bool:
        """Return whether it is called once per run."""
        return any(want is Run for _, want in self.wants)


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
        """Return the pool's place in the data plane."""
        return ROLES[self.role] if self.role else None

    @overload
    def on(self, function: F) -> F: ...

    @overload
    def on(self, *, phase: str) -> Callable[[F], F]: ...

    def on(self, function: F | None = None, *, phase: str | None = None) -> F | Callable[[F], F]:
        """Register a handler; usable with and without parentheses."""

        def register(handler: F) -> F:
            self.handlers.append(_handler(handler, phase))
            return handler

        return register if function is None else register(function)

    def step(self, action: str) -> Callable[[F], F]:
        """Register the answer to a workflow step."""

        def register(answer: F) -> F:
            self.actions[action] = answer
            return answer

        return register

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


def _handler(function: Callable[..., Any], phase: str | None) -> Handler:
    # Annotations written in a function's own module see its names, and the messages wherever it was written.
    hints = get_type_hints(function, localns={name: getattr(schemas, name) for name in schemas.__all__})
    parameters = list(inspect.signature(function).parameters)
    if not parameters or parameters[0] not in hints:
        raise ConfigError(f"{function.__name__}: annotate the first parameter with an event type or Slice")
    first, wants = hints[parameters[0]], tuple((name, hints.get(name)) for name in parameters[1:])
    for name, want in wants:
        if want not in (Run, Context) and not (isinstance(want, type) and issubclass(want, State)):
            raise ConfigError(f"{function.__name__}: {name} must be annotated with a State class, Run or Context")
    return Handler(function, () if first is Slice else _types(function.__name__, first), wants, phase)


def _types(function: str, annotation: Any) -> tuple[type[Message], ...]:
    union = get_origin(annotation) in (Union, types.UnionType)
    kinds = get_args(annotation) if union else (annotation,)
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, Message)):
            raise ConfigError(f"{function}: {kind!r} is no event type")
    return tuple(kinds)
