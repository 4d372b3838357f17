"""The components of the system as Kafka sees them: what each reads, writes and takes part in, read from the code."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args, get_type_hints

import schemas
from agents.handlers import has_topic
from agents.memory.pool import build as build_memory
from agents.pool import AgentPool
from infra.interface import CLIENT, SENDS, STEPS, operations
from infra.security.keys import ADMIN, BROKER, REDIS
from infra.sweep.on_kafka import SOURCE as SWEEP
from infra.sweep.worker import NAME as WORKER
from infra.sweep.worker import BacktestProcessor
from orchestrator.faust_kept import TABLE
from orchestrator.market_log import REPLAYED
from orchestrator.recipes import ORCHESTRATOR
from orchestrator.settings import Settings
from orchestrator.wiring import kinds_of, pools_of
from rl.streaming import ACTOR, LEARNER
from schemas import Message
from streams.errors import ConfigError
from streams.redrive import REDRIVE
from streams.slices import FEED
from streams.topics import (
    COMMANDS,
    INSTRUMENTS,
    POLICIES,
    SCHEMAS,
    TOPICS,
    TRANSITIONS,
    changelog,
    dead_letters,
    topic_of,
)

REPLAY = "replay"
"""Who runs `finagent replay`."""
COPIES = "bt."
"""Begins the names of the topics that a replay makes."""
_NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Component:
    """One program, or the program of one pool."""

    name: str
    """Its user."""
    reads: frozenset[str]
    writes: frozenset[str]
    groups: tuple[str, ...] = ()
    """Groups that it is a member of."""
    transactions: tuple[str, ...] = ()
    """Transactional ids."""
    tasks: tuple[str, ...] = ()
    """Beginnings of the ids of its tasks, each a transactional id and the group of the task's offsets."""
    makes: tuple[str, ...] = ()
    """Beginnings of the names of topics that it makes, writes and reads."""
    watches: tuple[str, ...] = ()
    """Beginnings of the groups of others whose offsets it looks at."""


def components(settings: Settings, custom: Sequence[AgentPool] = ()) -> list[Component]:
    """Return the components of the system of these settings, custom pools among them; raise ConfigError for names."""
    by_name: dict[str, list[AgentPool]] = {}
    for pool in (*pools_of(settings), build_memory(), *custom):
        by_name.setdefault(pool.name, []).append(pool)
    found = [*_programs(), *(_of_pools(name, pools) for name, pools in by_name.items())]
    followers = (CLIENT, build_memory().name)
    found = [_follower(each) if each.name in followers else each for each in found]
    names = [each.name for each in found]
    for name in names:
        if not _NAME.fullmatch(name) or names.count(name) > 1 or name in (ADMIN, BROKER, REDIS, STEPS):
            raise ConfigError(f"pool {name!r} cannot have a user of its own: take a name that no other component has")
    return found


def _programs() -> Iterator[Component]:
    """Yield the components that are no pools."""
    letters = set(map(dead_letters, TOPICS))
    copied = {*REPLAYED, INSTRUMENTS.name, COMMANDS.name, POLICIES.name}
    yield _component(CLIENT)
    yield _component(FEED, state=[changelog(FEED)], transactions=(FEED,))
    inputs = _received(ORCHESTRATOR)
    yield _component(ORCHESTRATOR, refuses=inputs, state=[changelog(TABLE)], **_tasks(ORCHESTRATOR))
    yield _component(SWEEP)
    yield _component(WORKER, refuses=BacktestProcessor.owned, state=[changelog(WORKER)], **_tasks(WORKER))
    yield _component(REPLAY, reads=copied, tasks=(f"{REPLAY}.",), makes=(COPIES,))
    yield _component(REDRIVE, reads=letters, writes=TOPICS, state=[changelog(REDRIVE)], tasks=(f"{REDRIVE}.",))
    yield _component(
        "actor",
        reads={POLICIES.name},
        writes={TRANSITIONS.name},
        state=[changelog(ACTOR)],
        tasks=(f"{ACTOR}/",),
        watches=(f"{LEARNER}/",),
    )
    yield _component(
        "learner",
        reads={POLICIES.name},
        refuses={TRANSITIONS.name},
        writes={POLICIES.name},
        state=[changelog(LEARNER)],
        tasks=(f"{LEARNER}/",),
    )


def _tasks(*kinds: str) -> dict[str, tuple[str, ...]]:
    """Return the groups of kinds of tasks, and the beginnings of their tasks' ids."""
    return {"groups": kinds, "tasks": tuple(f"{kind}." for kind in kinds)}


def _follower(component: Component) -> Component:
    """Return a component that shows or keeps whatever stands on the topics."""
    return replace(component, reads=component.reads | {*TOPICS, *map(dead_letters, TOPICS)})


def _component(
    name: str,
    *,
    reads: Iterable[str] = (),
    writes: Iterable[str] = (),
    refuses: Iterable[str] = (),
    state: Sequence[str] = (),
    **more: Any,
) -> Component:
    """Return a component with what the interface says of it.

    refuses: inputs whose bad records it sets aside. state: topics that it alone keeps.
    """
    refuses = set(refuses)
    read = {*reads, *_received(name), *refuses, *state, SCHEMAS}
    written = {*writes, *SENDS.get(name, ()), *map(dead_letters, refuses), *state, SCHEMAS}
    return Component(name, frozenset(read), frozenset(written), **more)


def _received(name: str) -> set[str]:
    return {each.channel for each in operations() if each.who == name and each.action == "receive"}


def _of_pools(name: str, pools: Sequence[AgentPool]) -> Component:
    """Return the component that runs what goes by a pool's name."""
    kinds = [kind for pool in pools for kind in kinds_of(pool)]
    processors = [kind.processor() for kind in kinds]
    inputs = {topic for each in processors for topic in (*each.owned, *each.broadcast)}
    return _component(
        name,
        reads=_received(STEPS) if any(pool.answers_steps for pool in pools) else (),
        writes={topic for pool in pools for topic in _published(pool)},
        refuses=inputs,
        state=[changelog(kind.name) for kind in kinds],
        **_tasks(*(kind.name for kind in kinds)),
    )


def _published(pool: AgentPool) -> Iterator[str]:
    """Yield the topics that a pool may publish on: those of its role, of its handlers' annotations, and of steps."""
    names = [*(SENDS.get(pool.role or "", ()))]
    names += [phase.announces for phase in (pool.place.phases if pool.place else ()) if phase.announces]
    names += [topic_of(kind).name for handler in pool.handlers for kind in _returned(handler.function)]
    if pool.answers_steps:
        names += SENDS[STEPS]
    yield from (name for name in names if TOPICS[name].writer in (None, pool.role))


def _returned(function: Any) -> Iterator[type[Message]]:
    """Yield the types of messages that a handler's return annotation names."""
    hints = get_type_hints(function, localns={name: getattr(schemas, name) for name in schemas.__all__})
    yield from _messages(hints.get("return"))


def _messages(annotation: Any) -> Iterator[type[Message]]:
    if isinstance(annotation, type) and issubclass(annotation, Message):
        if has_topic(annotation):
            yield annotation
        return
    for part in get_args(annotation):
        yield from _messages(part)
