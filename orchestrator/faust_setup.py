"""Before Faust runs: its topics are checked, and it is imported where it can do no harm."""

from __future__ import annotations

import importlib
import sys
import warnings
from typing import Any

from orchestrator.faust_kept import POOL, TABLE
from orchestrator.sections import KafkaSection
from orchestrator.settings import Settings
from orchestrator.wiring import broker_of
from streams.broker import TopicConfig
from streams.errors import TopologyError
from streams.record import TopicPartition
from streams.serde import Serde
from streams.topics import COMMANDS, RESULTS, STEPS, WORKFLOWS, changelog


async def prepared(settings: Settings) -> int:
    """Check the topics, make the table's changelog and return the number of partitions of all of them."""
    broker = broker_of(settings)
    await broker.start()
    try:
        present = await broker.topics()
        counts = {topic.name: present.get(topic.name, 0) for topic in (COMMANDS, RESULTS, STEPS, WORKFLOWS)}
        partitions = counts[COMMANDS.name]
        if not partitions or set(counts.values()) != {partitions}:
            raise TopologyError(f"topics of the workflow family need one partition count, found {counts}")
        await broker.create_topics({changelog(TABLE): TopicConfig(partitions, compacted=True)})
        # Faust would wait for ever for a group that it is denied.
        await broker.committed(POOL, [TopicPartition(COMMANDS.name, 0)])
        return partitions
    finally:
        await broker.stop()


def faust_parts(kafka: KafkaSection, partitions: int, serde: Serde) -> tuple[Any, Any]:
    """Return the application and its table."""
    app = _imported("orchestrator.faust_app").app_of(kafka)
    return app, _imported("orchestrator.faust_table").WorkflowTable(app, kafka.prefix, partitions, serde)


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
