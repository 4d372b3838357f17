"""How a function is read as a handler: its annotations say what it takes."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Union, get_args, get_origin, get_type_hints

import schemas
from agents.context import Context, Run, Slice
from schemas import Message
from streams.errors import ConfigError
from streams.slices import TABLES, Role
from streams.state import State
from streams.topics import TOPICS, topic_of


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

    @cached_property
    def state(self) -> type[State] | None:
        """Return the class of the state that it asks for."""
        return next((want for _, want in self.wants if isinstance(want, type) and issubclass(want, State)), None)

    @cached_property
    def per_run(self) -> bool:
        """Return whether it is called once per run."""
        return any(want is Run for _, want in self.wants)

    @cached_property
    def wants_context(self) -> bool:
        """Return whether it asks for the context."""
        return any(want is Context for _, want in self.wants)


def handler_of(function: Callable[..., Any], phase: str | None, pool: str, role: Role | None) -> Handler:
    """Read a function as a handler; raise ConfigError where it cannot be one, or would never be called."""
    check_plain(function)
    hints = _hints(function)
    parameters = list(inspect.signature(function).parameters)
    if not parameters or parameters[0] not in hints:
        raise ConfigError(f"{function.__name__}: annotate the first parameter with an event type or Slice")
    first, wants = hints[parameters[0]], tuple((name, hints.get(name)) for name in parameters[1:])
    for name, want in wants:
        if want not in (Run, Context) and not (isinstance(want, type) and issubclass(want, State)):
            raise ConfigError(f"{function.__name__}: {name} must be annotated with a State class, Run or Context")
    handler = Handler(function, () if first is Slice else _types(function.__name__, first), wants, phase)
    _check_place(handler, pool, role)
    return handler


def check_plain(function: Callable[..., Any]) -> None:
    """Raise ConfigError for a coroutine function."""
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigError(f"{function.__name__}: write def, not async def; a handler decides and does no I/O")


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    # Annotations written in a function's own module see its names, and the messages wherever it was written.
    try:
        return get_type_hints(function, localns={name: getattr(schemas, name) for name in schemas.__all__})
    except NameError as error:
        raise ConfigError(f"{function.__name__}: {error}; annotations must be names of its module") from None


def _types(function: str, annotation: Any) -> tuple[type[Message], ...]:
    union = get_origin(annotation) in (Union, types.UnionType)
    kinds = get_args(annotation) if union else (annotation,)
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, Message) and has_topic(kind)):
            raise ConfigError(f"{function}: {kind!r} is no event type that stands on a topic")
    return tuple(kinds)


def has_topic(kind: type[Message]) -> bool:
    """Return whether messages of a type are published on a topic of their own."""
    return any(kind in topic.types for topic in TOPICS.values()) and kind is not schemas.SliceClosed


def _check_place(handler: Handler, pool: str, role: Role | None) -> None:
    name, phases = handler.function.__name__, role.phases if role else ()
    known = [phase.name for phase in phases]
    if role is None and (not handler.types or handler.per_run):
        raise ConfigError(f"{name}: Slice and Run are for pools with a role, {pool!r} has none")
    if handler.phase is not None and handler.phase not in known:
        raise ConfigError(f"{name}: {pool!r} has no phase {handler.phase!r}, it has: {', '.join(known) or 'none'}")
    taken = sorted({topic for phase in phases for topic in phase.takes})
    for kind in handler.types if role else ():
        if topic_of(kind).name in TABLES:
            if handler.per_run:
                raise ConfigError(f"{name}: {kind.__name__} comes outside slices, where there is no Run")
        elif topic_of(kind).name not in taken:
            raise ConfigError(f"{name}: {pool!r} takes no {kind.__name__}, its role gets {', '.join(taken)}")
