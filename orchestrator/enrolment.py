"""What a process writes with and reads with: its schemas are told to the others, and theirs are learned."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from orchestrator.credentials import login
from orchestrator.sections import SchemaRegistrySection
from orchestrator.settings import Settings
from schemas.avro import schema_of
from streams.broker import Broker
from streams.learning import LearningBroker
from streams.registry import SchemaRegistry
from streams.schema_topic import SchemaTopic
from streams.serde import SchemaSource, Serde
from streams.subjects import enrol, subjects
from streams.topics import TOPICS


class _Everywhere:
    """Asks several sources; no two of them know the same frame."""

    def __init__(self, sources: Iterable[SchemaSource]) -> None:
        self._sources = tuple(sources)

    async def find(self, frames: Collection[bytes]) -> Mapping[bytes, Any]:
        """Return what any of the sources knows."""
        found: dict[bytes, Any] = {}
        for source in self._sources:
            found |= await source.find(frames)
        return found


async def enrolled(
    settings: Settings, broker: Broker, topics: Collection[str] | None = None, changelogs: Collection[str] = ()
) -> tuple[Broker, Serde]:
    """Return the broker to read with and the serde of a process that writes these topics, all where none are named.

    On Kafka its schemas then stand on the topic `schemas`, and in the registry that the settings name. Raises
    IncompatibleSchema where the registry refuses one, RegistryError where it does not answer.
    """
    if not settings.kafka.bootstrap:
        return broker, Serde()  # the log is this process's own
    registry, topic = registry_of(settings.schema_registry), SchemaTopic(broker)
    serde = Serde(_Everywhere((topic,) if registry is None else (topic, registry)))
    wanted = subjects(TOPICS if topics is None else topics, changelogs, settings.kafka.prefix)
    if registry is not None:
        ids = await enrol(registry, wanted, register=settings.schema_registry.register_schemas)
        if settings.schema_registry.write_ids:
            serde.write_ids(ids)
    if wanted:
        await topic.publish([schema_of(kind) for kind in dict.fromkeys(each.kind for each in wanted)])
    return LearningBroker(broker, serde), serde


def registry_of(section: SchemaRegistrySection, environ: Mapping[str, str] | None = None) -> SchemaRegistry | None:
    """Return the registry that the settings name, if any; environ has user and password."""
    if not section.url:
        return None
    username, password = login("SCHEMA_REGISTRY", environ)
    return SchemaRegistry(section.url, username, password, section.ssl_ca_file, section.timeout_s)
