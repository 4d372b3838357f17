"""Who says what to whom: the built-in pools and programs on the topics, as the AsyncAPI document tells it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agents.answering import StepProcessor
from agents.dispatch import topics_of
from agents.pool import AgentPool
from orchestrator.control import ControlProcessor
from orchestrator.recipes import ORCHESTRATOR
from orchestrator.settings import Settings
from orchestrator.strategy import RL
from orchestrator.wiring import BUILT_IN, pool_of
from rl.streaming import ACTOR, LEARNER
from schemas.asyncapi import Channel, Operation, document
from schemas.state import StateSaved
from streams.dead_letters import KEY, KIND, KINDS, OFFSET, PARTITION, POOL, REASON, TIMESTAMP, TOPIC
from streams.slices import FEED
from streams.topics import KILL_SWITCH, TOPICS, Topic, changelog, dead_letters

CLIENT = "client"
STEPS = "steps"
"""Stands for the step answers of every pool."""
SENDS: dict[str, tuple[str, ...]] = {
    CLIENT: ("commands", "rl.policies"),
    FEED: ("ticks", "bars", "instruments"),
    ORCHESTRATOR: ("steps", "workflows", "strategies"),
    "alpha": ("signals",),
    RL: ("signals",),
    "portfolio": ("targets", "positions"),
    "risk": ("orders", "risk"),
    "execution": ("fills",),
    STEPS: ("results", "history", "risk"),
    "sweep": ("backtests",),
    "backtests": ("backtest_results",),
    ACTOR: ("rl.transitions",),
    LEARNER: ("rl.policies",),
}
"""Topics that each writes; a test holds this against a log."""
_LETTER = (
    (REASON, "Why no handler could take the record."),
    (TOPIC, "Its topic."),
    (PARTITION, "Its partition."),
    (OFFSET, "Its offset."),
    (POOL, "The pool that refused it."),
    (KIND, f"The kind of the reason: {', '.join(KINDS)}."),
    (TIMESTAMP, "Its own timestamp, in ms; the letter has that of the refusal."),
    (KEY, "Its key, only where that is no UTF-8 text; null: it had none."),
)


def interface(version: str) -> dict[str, Any]:
    """Return the AsyncAPI document of the system with its built-in pools."""
    return document([*map(_channel, TOPICS.values()), *_patterns()], operations(), version)


def operations() -> list[Operation]:
    """Return what each pool and program sends and receives, without dead letters and changelogs."""
    pools = [pool_of(name, Settings()) for name in (*BUILT_IN, RL)]
    found = [Operation(who, "send", name) for who, names in SENDS.items() for name in names]
    found += [Operation(ORCHESTRATOR, "receive", name) for name in ControlProcessor.owned]
    found += [Operation(STEPS, "receive", name) for name in (*StepProcessor.owned, *StepProcessor.broadcast)]
    found += [Operation(CLIENT, "receive", name) for name in ("workflows", "strategies")]
    found += [Operation(FEED, "receive", name) for name in ("strategies", "rl.policies")]
    found += [Operation(STEPS, "receive", "history"), Operation(CLIENT, "receive", "rl.policies")]
    found += [Operation("backtests", "receive", "backtests"), Operation("sweep", "receive", "backtest_results")]
    found += [Operation(LEARNER, "receive", "rl.transitions"), Operation(ACTOR, "receive", "rl.policies")]
    found += [Operation("memory", "receive", name) for name in TOPICS]
    return [*found, *(Operation(pool.name, "receive", name) for pool in pools for name in _taken(pool))]


def _taken(pool: AgentPool) -> Iterator[str]:
    if pool.handlers:
        own, whole = topics_of(pool)
        yield from sorted({*own, *whole})


def _channel(topic: Topic) -> Channel:
    carried = ", ".join(kind.__name__ for kind in topic.types)
    family = "One partition, read whole" if topic.family == "single" else f"Key family {topic.family}"
    kept = "; compacted: the newest record of a key is kept" if topic.compacted else ""
    key = topic.key if topic.name != "strategies" else f"{topic.key}, or {KILL_SWITCH}<account_id>"
    return Channel(
        name=topic.name,
        address=topic.name,
        description=f"Carries {carried}. {family}{kept}.",
        types=topic.types,
        key=key,
        family=topic.family,
        policy="compact" if topic.compacted else "",
        retention_ms=topic.retention_ms,
    )


def _patterns() -> list[Channel]:
    pools = tuple(sorted({FEED, ORCHESTRATOR, RL, *BUILT_IN}))
    again = ("ticks", "bars", "commands")
    return [
        Channel(
            name="dead_letters",
            address=dead_letters("{topic}"),
            description="A record that no handler could take, whole, with the reason; partitions as the source's.",
            types=(),
            parameters={"topic": tuple(TOPICS)},
            more_headers=_LETTER,
        ),
        Channel(
            name="changelogs",
            address=changelog("{pool}"),
            description=f"The state of a pool, one partition for each task: {', '.join(pools)} and others.",
            types=(StateSaved,),
            key="class and key of the state",
            policy="compact",
            parameters={"pool": ()},
        ),
        Channel(
            name="replayed",
            address="bt.{run}.{topic}",
            description="What `finagent replay` published again for a run: the topic's own messages under their ids.",
            types=tuple(dict.fromkeys(kind for name in again for kind in TOPICS[name].types)),
            key="as on the topic itself",
            parameters={"run": (), "topic": again},
        ),
    ]
