"""Messages to bytes and back, and every reason why bytes are no message."""

import io
from collections.abc import Collection
from typing import Any

import fastavro
import pytest

from schemas import MESSAGES, Message, SliceClosed, StepCompleted, TickBlock
from schemas.avro import fingerprint_of, released, schema_of
from streams.errors import ConfigError, DecodeError, UnknownSchema
from streams.serde import Serde, confluent
from tests.unit.schemas.example_messages import example, example_values


@pytest.fixture
def serde() -> Serde:
    return Serde()


def written(schema: Any, record: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, record)
    return out.getvalue()


def framed(schema: Any, body: bytes) -> bytes:
    return b"\xc3\x01" + fingerprint_of(schema).to_bytes(8, "little") + body


@pytest.mark.parametrize("name", sorted(MESSAGES))
@pytest.mark.parametrize("full", [True, False])
def test_a_message_comes_back_as_it_was(serde: Serde, name: str, full: bool) -> None:
    message = example(MESSAGES[name], full=full)
    data = serde.encode(message)
    assert serde.decode(data) == message
    assert type(serde.decode(data)) is type(message)
    assert serde.encode(serde.decode(data)) == data


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_fastavro_alone_reads_what_is_written(serde: Serde, name: str) -> None:
    """Avro single-object encoding: C3 01, the fingerprint in little-endian order, then the plain record."""
    message = example(MESSAGES[name])
    data = serde.encode(message)
    schema = schema_of(MESSAGES[name])
    assert data[:10] == framed(schema, b"")
    assert fastavro.schemaless_reader(io.BytesIO(data[10:]), schema) == message.to_avro()


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_bytes_that_end_early_or_late_are_refused(serde: Serde, name: str) -> None:
    data = serde.encode(example(MESSAGES[name]))
    for size in range(len(data)):
        with pytest.raises(DecodeError):
            serde.decode(data[:size])
    with pytest.raises(DecodeError, match=f"2 bytes follow the {name}"):
        serde.decode(data + b"\0\0")


@pytest.mark.parametrize(
    ("data", "error", "reason"),
    [
        (None, DecodeError, "the value is empty"),
        (b"", DecodeError, "the value is empty"),
        (b"{}", DecodeError, "no Avro framing: the value starts with 7b7d"),
        (b"\0\0\0\0\1", DecodeError, "no Avro framing"),
        (b"\xc3\x01\0" + b"\xab" * 8, UnknownSchema, "no schema has the fingerprint 00ababababababab: neither one"),
        (b"\xc3\x01\x00", UnknownSchema, "no schema has the fingerprint 00"),
        (b"\0\0\0\0\7x", UnknownSchema, "schema id 7 is in no schema registry that is configured"),
    ],
)
def test_unframed_and_unknown_bytes_say_so(
    serde: Serde, data: bytes | None, error: type[DecodeError], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        serde.decode(data)


def test_a_known_record_with_an_invalid_value_names_the_field(serde: Serde) -> None:
    record = {**example(SliceClosed).to_avro(), "partition": -1, "source": ""}
    schema = schema_of(SliceClosed)
    with pytest.raises(
        DecodeError, match=r"SliceClosed is invalid: source: .*; partition: .*greater than or equal to 0"
    ):
        serde.decode(framed(schema, written(schema, record)))


@pytest.mark.parametrize("column", ["dt_ns", "price", "size"])
def test_a_nan_in_a_column_is_refused_by_its_row(serde: Serde, column: str) -> None:
    schema = schema_of(TickBlock)
    record = {**example(TickBlock).to_avro(), column: [1.0, float("nan")]}
    with pytest.raises(DecodeError, match=rf"TickBlock is invalid: {column}: .*row 1 is NaN or infinite"):
        serde.decode(framed(schema, written(schema, record)))


def test_text_that_is_not_utf_8_is_refused(serde: Serde) -> None:
    data = serde.encode(example(SliceClosed))
    with pytest.raises(DecodeError, match="bytes are not a SliceClosed"):
        serde.decode(data.replace(b"AAPL.XNAS", b"AAPL\xff\xfe\xfd\xfc\xfb", 1))


def test_parameters_that_are_no_json_object_are_refused(serde: Serde) -> None:
    schema = schema_of(StepCompleted)
    for text in ("[1]", "{", '{"a": NaN}'):
        record = {**example(StepCompleted).to_avro(), "result": text}
        with pytest.raises(DecodeError, match="StepCompleted is invalid: result"):
            serde.decode(framed(schema, written(schema, record)))


def test_equal_parameters_give_equal_bytes(serde: Serde) -> None:
    one, other = {"b": 1, "a": {"d": 2, "c": [1]}}, {"a": {"c": [1], "d": 2}, "b": 1}
    values = example_values(StepCompleted)
    assert serde.encode(StepCompleted(**{**values, "result": one})) == serde.encode(
        StepCompleted(**{**values, "result": other})
    )


def older(schema: dict[str, Any], *gone: str) -> dict[str, Any]:
    return {**schema, "fields": [field for field in schema["fields"] if field["name"] not in gone]}


@pytest.fixture
def with_older_slice_closed(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Stand for a time when SliceClosed has a second version, of which runs and rows are new."""
    schema = older(schema_of(SliceClosed), "runs", "rows")
    versions = {**released(), "SliceClosed": {1: schema, 2: schema_of(SliceClosed)}}
    monkeypatch.setattr("streams.serde.released", lambda: versions)
    return schema


def test_what_an_older_version_wrote_is_read_with_defaults(with_older_slice_closed: dict[str, Any]) -> None:
    record = example(SliceClosed).to_avro()
    left = {name: value for name, value in record.items() if name not in ("runs", "rows")}
    data = framed(with_older_slice_closed, written(with_older_slice_closed, left))
    assert Serde().decode(data) == SliceClosed(**left, runs=(), rows=0)
    with pytest.raises(DecodeError, match="1 bytes follow"):
        Serde().decode(data + b"\0")


class Asked:
    """A source that knows some schemas, and notes what it is asked for."""

    def __init__(self, **schemas: Any) -> None:
        self.known = {confluent(int(name.removeprefix("id"))): schema for name, schema in schemas.items()}
        self.asked: list[bytes] = []

    async def find(self, frames: Collection[bytes]) -> dict[bytes, Any]:
        self.asked += frames
        return {frame: self.known[frame] for frame in frames if frame in self.known}


async def learned(data: bytes, source: Asked) -> Message:
    serde = Serde(source)
    await serde.learn([data, None, b"", b"{}"])
    return serde.decode(data)


@pytest.mark.parametrize("name", sorted(MESSAGES))
async def test_confluent_framing_is_read_with_the_registrys_schema(name: str) -> None:
    message, schema = example(MESSAGES[name]), schema_of(MESSAGES[name])
    serde = Serde(source := Asked(id258=schema))
    data = confluent(258) + written(schema, message.to_avro())
    await serde.learn([data, data])
    await serde.learn([data])
    assert source.asked == [confluent(258)], "it is asked once"
    assert serde.decode(data) == message
    with pytest.raises(DecodeError):
        serde.decode(data[:-1])


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_ids_of_a_registry_frame_what_is_written(name: str) -> None:
    message, serde = example(MESSAGES[name]), Serde()
    body = serde.encode(message)[10:]
    serde.write_ids({MESSAGES[name]: 2**31 - 1})
    data = serde.encode(message)
    assert data == b"\0\x7f\xff\xff\xff" + body
    assert serde.decode(data) == message


def test_what_was_not_enrolled_is_not_written() -> None:
    serde = Serde()
    serde.write_ids({SliceClosed: 1})
    with pytest.raises(ConfigError, match="did not ask the schema registry whether it may write a TickBlock"):
        serde.encode(example(TickBlock))


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "record", "name": "Elsewhere", "fields": []}, "schema id 5 is of Elsewhere, which is no message"),
        ("string", "schema id 5 is no record"),
        (["null", "string"], "schema id 5 is no record"),
        ({"type": "array", "items": "long"}, "schema id 5 is no record"),
        ("a schema in PROTOBUF", "schema id 5 is no record but 'a schema in PROTOBUF'"),
        (
            {"type": "record", "name": "SliceClosed", "fields": [{"name": "x", "type": "nonsense"}]},
            "schema id 5 is no Avro",
        ),
        ({"type": "enum", "name": "SliceClosed", "symbols": ["A"]}, "schema id 5 is no record"),
    ],
)
async def test_a_registrys_schema_of_something_else_is_unknown(schema: Any, reason: str) -> None:
    with pytest.raises(UnknownSchema, match=reason):
        await learned(confluent(5) + b"x", Asked(id5=schema))


async def test_a_schema_of_something_else_is_asked_for_once() -> None:
    serde, data = Serde(source := Asked(id5="string")), confluent(5) + b"x"
    await serde.learn([data])
    await serde.learn([data])
    assert len(source.asked) == 1


async def test_a_registrys_older_schema_is_resolved() -> None:
    schema = older(schema_of(SliceClosed), "rows")
    record = {name: value for name, value in example(SliceClosed).to_avro().items() if name != "rows"}
    data = confluent(1) + written(schema, record)
    assert await learned(data, Asked(id1=schema)) == SliceClosed(**record)


async def test_a_newer_schema_is_read_without_what_it_adds() -> None:
    schema = schema_of(TickBlock)
    newer = {**schema, "fields": [*schema["fields"], {"name": "added", "type": "string", "default": ""}]}
    message = example(TickBlock)
    data = confluent(1) + written(newer, {**message.to_avro(), "added": "x"})
    assert await learned(data, Asked(id1=newer)) == message


async def test_a_schema_that_cannot_be_resolved_is_refused() -> None:
    schema = older(schema_of(SliceClosed), "ts_event")
    record = {name: value for name, value in example(SliceClosed).to_avro().items() if name != "ts_event"}
    with pytest.raises(DecodeError, match="bytes are not a SliceClosed: SchemaResolutionError"):
        await learned(confluent(1) + written(schema, record), Asked(id1=schema))
