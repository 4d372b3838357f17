"""`finagent topics`: what is on the log."""

from __future__ import annotations

import asyncio
from typing import Any

from infra.cli.connection import connected
from infra.cli.options import Config, Json, Kafka, Prefix, settings_of
from infra.cli.output import as_json, say, table
from orchestrator.settings import Settings
from streams.broker import Broker
from streams.record import TopicPartition
from streams.topics import DEAD_LETTER_SUFFIX, TOPICS


def topics(config: Config = None, kafka: Kafka = None, prefix: Prefix = None, json: Json = False) -> None:
    """List the topics with their partitions and offsets in use; these count transaction markers too."""
    settings = settings_of(config, kafka, None, prefix)
    found = asyncio.run(_found(settings))
    if json:
        as_json(found)
    elif not found:
        say(f"no topics with prefix {settings.kafka.prefix!r}")
    else:
        rows = [(each["topic"], each["partitions"], each["records"], each["carries"]) for each in found]
        table(f"Topics at {settings.kafka.bootstrap}", ("topic", "partitions", "records", "carries"), rows)


async def _found(settings: Settings) -> list[dict[str, Any]]:
    async with connected(settings) as broker:
        counts = await broker.topics()
        places = [TopicPartition(name, number) for name, count in counts.items() for number in range(count)]
        used = await records(broker, places)
    return [
        {
            "topic": name,
            "partitions": counts[name],
            "records": sum(used[place] for place in places if place.topic == name),
            "carries": carries(name),
        }
        for name in sorted(counts, key=_rank)
    ]


async def records(broker: Broker, places: list[TopicPartition]) -> dict[TopicPartition, int]:
    """Return the number of offsets in use of each partition."""
    begins, ends = await broker.beginnings(places), await broker.ends(places)
    return {place: ends[place] - begins[place] for place in places}


def carries(name: str) -> str:
    """Say what a topic carries, from its name."""
    if name.endswith(DEAD_LETTER_SUFFIX):
        return f"dead letters of {name.removesuffix(DEAD_LETTER_SUFFIX)}"
    if name.endswith(".changelog"):
        return f"state of {name.removesuffix('.changelog')}"
    base = name.rsplit(".", 1)[-1] if name.startswith("bt.") else name
    known = TOPICS.get(base)
    return ", ".join(kind.__name__ for kind in known.types) if known else "-"


def _rank(name: str) -> tuple[int, str]:
    groups = (name in TOPICS, name.endswith(DEAD_LETTER_SUFFIX), name.endswith(".changelog"))
    return (groups.index(True) if True in groups else len(groups), name)
