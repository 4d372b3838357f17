"""Before Faust runs: topics are checked, and it is imported where it can do no harm."""

from __future__ import annotations

import importlib
import sys
import warnings
from typing import Any

from orchestrator.faust_kept import POOL, TABLE
from orchestrator.sections import KafkaSection
from streams.broker import Broker, TopicConfig
from streams.errors import TopologyError
from streams.record import TopicPartition
from streams.topics import COMMANDS, RESULTS, STEPS, WORKFLOWS, changelog


async def prepared(broker: Broker) -> int:
    """Check the topics, make the changelog and return the number of partitions of all of them."""
    present = await broker.topics()
    counts = {topic.name: present.get(topic.name, 0) for topic in (COMMANDS, RESULTS, STEPS, WORKFLOWS)}
    partitions = counts[COMMANDS.name]
    if not partitions or set(counts.values()) != {partitions}:
        raise TopologyError(f"topics of the workflow family need one partition count, found {counts}")
    await broker.create_topics({changelog(TABLE): TopicConfig(partitions, compacted=True)})
    present = await broker.topics()
    if (found := present.get(changelog(TABLE))) != partitions:
        raise TopologyError(f"topic {changelog(TABLE)} has {found} partitions, expected {partitions}")
    # Faust would wait for ever for a group that it is denied.
    await broker.committed(POOL, [TopicPartition(COMMANDS.name, 0)])
    return partitions


def faust_app(kafka: KafkaSection) -> Any:
    """Return the Faust application, not started."""
    return _imported("orchestrator.faust_app").app_of(kafka)


def _imported(name: str) -> Any:
    """Import what imports Faust, out of reach of the command line, which it would read, and of strict warnings."""
    argv = sys.argv
    sys.argv = argv[:1]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    finally:
        sys.argv = argv
