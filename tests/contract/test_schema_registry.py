"""Subjects, ids and compatibility against a real registry."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from schemas import MESSAGES, SliceClosed, TickBlock
from schemas.avro import released, schema_of
from streams.errors import ConfigError, DecodeError, IncompatibleSchema, RegistryError, UnknownSchema
from streams.registry import LEVEL, SchemaRegistry
from streams.serde import Serde, confluent
from streams.subjects import Subject, enrol, standings, subjects
from streams.topics import TOPICS
from tests.unit.schemas.example_messages import example

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]


@pytest.fixture
def registry(schema_registry: str) -> SchemaRegistry:
    return SchemaRegistry(schema_registry)


def with_field(schema: dict[str, Any], **field: Any) -> dict[str, Any]:
    return {**schema, "fields": [*schema["fields"], field]}


async def add(registry: SchemaRegistry, subject: Subject, schema: Any) -> int:
    async with registry.session() as session:
        return await session.register(subject.name, schema)


async def test_every_message_is_written_with_its_id_and_read_by_who_knows_nothing(
    registry: SchemaRegistry, prefix: str
) -> None:
    ids = await enrol(registry, subjects(TOPICS, ["alpha.changelog"], prefix), register=True)
    assert set(ids) == set(MESSAGES.values()), "every message has a home"
    writer, reader = Serde(), Serde(registry)
    writer.write_ids(ids)
    values = {name: writer.encode(example(kind)) for name, kind in MESSAGES.items()}
    await reader.learn(values.values())
    for name, kind in MESSAGES.items():
        assert values[name][:5] == confluent(ids[kind])
        assert reader.decode(values[name]) == example(kind)


async def test_processes_that_start_at_once_agree_on_the_ids(registry: SchemaRegistry, prefix: str) -> None:
    wanted = subjects(["ticks", "signals", "orders"], prefix=prefix)
    found = await asyncio.gather(*(enrol(registry, wanted, register=True) for _ in range(4)))
    assert all(ids == found[0] for ids in found)
    async with registry.session() as session:
        assert [await session.level(each.name) for each in wanted] == [LEVEL] * len(wanted)


async def test_an_older_release_still_starts_beside_a_newer_one(registry: SchemaRegistry, prefix: str) -> None:
    """A newer schema is registered first: an older one is registered, or found, behind it."""
    subject = Subject(f"{prefix}orders", SliceClosed)
    newer = with_field(schema_of(SliceClosed), name="added", type="string", default="")
    older = released()["SliceClosed"][1]
    ids = [await add(registry, subject, schema) for schema in (newer, older)]
    found = await enrol(registry, [subject], register=True)
    again = await enrol(registry, [subject], register=False)
    assert found == again
    assert len({*ids, found[SliceClosed]}) == 3


@pytest.mark.parametrize(
    "field",
    [{"name": "added", "type": "string"}, {"name": "source", "type": "long"}],
    ids=["no default", "another type"],
)
async def test_an_incompatible_schema_is_refused_before_anything_is_written(
    registry: SchemaRegistry, prefix: str, field: dict[str, Any]
) -> None:
    subject, wanted = Subject(f"{prefix}ticks", TickBlock), subjects(["ticks", "bars"], prefix=prefix)
    schema = schema_of(TickBlock)
    kept = [each for each in schema["fields"] if each["name"] != field["name"]]
    await add(registry, subject, {**schema, "fields": [*kept, field]})
    with pytest.raises(IncompatibleSchema) as refused:
        await enrol(registry, wanted, register=True)
    assert registry.url in str(refused.value)
    assert f"{prefix}ticks-finagent.TickBlock: version 1: .{field['name']}: " in str(refused.value)
    async with registry.session() as session:
        assert await session.id_of(f"{prefix}bars-finagent.Bar", schema_of(MESSAGES["Bar"])) is None


async def test_an_incompatible_version_behind_the_latest_is_refused_too(registry: SchemaRegistry, prefix: str) -> None:
    """The check of the latest version is not enough: FULL_TRANSITIVE holds between all."""
    subject, schema = Subject(f"{prefix}ticks", TickBlock), schema_of(TickBlock)
    bad = {
        **schema,
        "fields": [{**each, "type": "string"} if each["name"] == "seq0" else each for each in schema["fields"]],
    }
    await add(registry, subject, bad)
    await add(registry, subject, with_field(schema, name="added", type="string", default=""))
    with pytest.raises(IncompatibleSchema, match=r"TickBlock: version 1: \.seq0: string cannot be read as long"):
        await enrol(registry, [subject], register=True)


async def test_a_process_that_only_looks_up_says_what_to_register(registry: SchemaRegistry, prefix: str) -> None:
    wanted = subjects(["ticks"], prefix=prefix)
    with pytest.raises(ConfigError, match=rf"not registered .*schemas register.*: {prefix}ticks-finagent.TickBlock"):
        await enrol(registry, wanted, register=False)
    await add(registry, wanted[0], wanted[0].schema)
    await add(registry, wanted[1], wanted[1].schema)
    with pytest.raises(ConfigError, match=f"must be {LEVEL}"):
        await enrol(registry, wanted, register=False)
    assert [each.level for each in await standings(registry, wanted)] != [LEVEL, LEVEL], "it changed nothing"
    ids = await enrol(registry, wanted, register=True)
    assert await enrol(registry, wanted, register=False) == ids


async def test_ids_that_no_registry_gave_out_are_unknown(registry: SchemaRegistry, prefix: str) -> None:
    serde, data = Serde(registry), confluent(2_000_000_000) + b"x"
    await serde.learn([data])
    with pytest.raises(UnknownSchema, match="schema id 2000000000 is in no schema registry"):
        serde.decode(data)
    strange = await add(
        registry, Subject(f"{prefix}x", TickBlock), {"type": "record", "name": "Elsewhere", "fields": []}
    )
    await serde.learn([confluent(strange) + b"x"])
    with pytest.raises(DecodeError, match="is of Elsewhere, which is no message"):
        serde.decode(confluent(strange) + b"x")


async def test_a_url_without_a_registry_is_an_error(registry: SchemaRegistry) -> None:
    root = str(httpx.URL(registry.url).copy_with(path="/"))
    with pytest.raises(RegistryError, match=r"no schema registry works at .*: GET /schemas/types: 404"):
        await enrol(SchemaRegistry(root), subjects(["ticks"]), register=True)
    with pytest.raises(RegistryError, match="does not answer"):
        await enrol(SchemaRegistry("http://127.0.0.1:1"), subjects(["ticks"]), register=True)
