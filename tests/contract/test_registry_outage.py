"""A registry that wants a password, fails, lags or is away, before a real one."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator

import pytest

from orchestrator.enrolment import registry_of
from orchestrator.sections import SchemaRegistrySection
from orchestrator.settings import Settings
from schemas import Signal, SliceClosed
from streams.errors import ConfigError, RegistryError, SecurityError, UnknownSchema
from streams.registry import SchemaRegistry
from streams.serde import Serde, confluent
from streams.subjects import enrol, subjects
from tests.registry_proxy import RegistryProxy, registry_proxy
from tests.unit.schemas.example_messages import example

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]
LOGIN = {"FINAGENT_SCHEMA_REGISTRY_USERNAME": "trader", "FINAGENT_SCHEMA_REGISTRY_PASSWORD": "s3cret-w0rd"}


@pytest.fixture
def proxy(schema_registry: str) -> Iterator[RegistryProxy]:
    with registry_proxy(schema_registry) as server:
        yield server


def registry_behind(proxy: RegistryProxy, environ: dict[str, str] | None = None) -> SchemaRegistry:
    registry = registry_of(SchemaRegistrySection(url=proxy.url), environ or {})
    assert registry is not None
    return registry


async def enrolled(registry: SchemaRegistry, prefix: str) -> tuple[Serde, Serde, int]:
    """Return the serde of a process that writes signals, that of another that knows nothing yet, and an id."""
    ids = await enrol(registry, subjects(["signals"], prefix=prefix), register=True)
    writer = Serde(registry)
    writer.write_ids(ids)
    return writer, Serde(registry), ids[Signal]


async def test_user_and_password_come_from_the_environment(proxy: RegistryProxy, prefix: str) -> None:
    proxy.authorization = "Basic " + b64encode(b"trader:s3cret-w0rd").decode()
    registry = registry_behind(proxy, LOGIN)
    await enrol(registry, subjects(["signals"], prefix=prefix), register=True)
    assert "s3cret" not in repr(registry)
    for environ in ({}, LOGIN | {"FINAGENT_SCHEMA_REGISTRY_PASSWORD": "wr0ng-w0rd"}):
        with pytest.raises(
            SecurityError, match=r"refuses access, .*401 Unauthorized: set FINAGENT_SCHEMA_REG"
        ) as refused:
            await enrol(registry_behind(proxy, environ), subjects(["signals"], prefix=prefix), register=True)
        assert "w0rd" not in str(refused.value)


def test_a_password_in_the_url_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigError) as refused:
        Settings.from_dict({"schema_registry": {"url": "http://trader:s3cret-w0rd@registry:8081"}})
    assert "s3cret" not in str(refused.value)
    with pytest.raises(ConfigError, match=r"schema_registry\.password: users and passwords are no settings"):
        Settings.from_dict({"schema_registry": {"password": "x"}})


async def test_work_whose_ids_are_known_goes_on_without_the_registry(proxy: RegistryProxy, prefix: str) -> None:
    registry = registry_behind(proxy)
    writer, reader, _ = await enrolled(registry, prefix)
    value = writer.encode(example(Signal))
    await reader.learn([value])
    asked = len(proxy.asked)
    proxy.answer = (503, "gone")
    for serde in (writer, reader):
        await serde.learn([value, serde.encode(example(SliceClosed))])
        assert serde.decode(value) == example(Signal)
    assert writer.encode(example(Signal)) == value
    assert len(proxy.asked) == asked, "nobody asked"


@pytest.mark.parametrize(
    "answer",
    [
        (503, "gone"),
        (500, '{"error_code": 50001, "message": "store"}'),
        (404, "<html>no route</html>"),
        (200, "<html>"),
    ],
    ids=["down", "failing", "another server", "a page"],
)
async def test_an_unknown_id_waits_for_the_registry(proxy: RegistryProxy, prefix: str, answer: tuple[int, str]) -> None:
    """A record must not be refused because the registry could not be asked."""
    writer, reader, schema_id = await enrolled(registry_behind(proxy), prefix)
    value = writer.encode(example(Signal))
    proxy.answer = answer
    for _ in range(2):
        with pytest.raises(
            RegistryError, match=rf"no schema registry works at .*/schemas/ids/{schema_id}: {answer[0]}"
        ):
            await reader.learn([value])
    proxy.answer = None
    await reader.learn([value])
    assert reader.decode(value) == example(Signal)


async def test_an_id_that_a_node_has_not_heard_of_yet_is_asked_for_again(proxy: RegistryProxy, prefix: str) -> None:
    writer, reader, schema_id = await enrolled(registry_behind(proxy), prefix)
    value = writer.encode(example(Signal))
    proxy.unknown_ids = 1
    await reader.learn([value])
    assert reader.decode(value) == example(Signal)
    assert proxy.asked[-2:] == [f"GET /apis/ccompat/v7/schemas/ids/{schema_id}"] * 2


async def test_an_absent_id_is_not_asked_for_with_every_record(proxy: RegistryProxy) -> None:
    serde, value = Serde(registry_behind(proxy)), confluent(1_999_999_999) + b"x"
    for _ in range(5):
        await serde.learn([value, value])
        with pytest.raises(UnknownSchema):
            serde.decode(value)
    assert len(proxy.asked) == 2


async def test_a_registry_that_is_away_at_the_start_writes_nothing(proxy: RegistryProxy, prefix: str) -> None:
    proxy.answer = (503, "starting")
    with pytest.raises(RegistryError, match=r"no schema registry works at .*: GET .*/schemas/types: 503 starting"):
        await enrol(registry_behind(proxy), subjects(["signals"], prefix=prefix), register=True)
    assert not any(request.startswith(("POST", "PUT")) for request in proxy.asked)
