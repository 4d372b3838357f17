"""Messages to bytes and back, and every reason why bytes are no message."""

import io
from typing import Any

import fastavro
import pytest

from schemas import MESSAGES, Message, SliceClosed, StepCompleted, TickBlock
from schemas.avro import fingerprint_of, released, schema_of
from streams.errors import DecodeError, UnknownSchema
from streams.serde import Serde
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
        (b"\xc3\x01" + b"\xab" * 8, UnknownSchema, "no schema has the fingerprint abababababababab"),
        (b"\xc3\x01\x00", UnknownSchema, "no schema has the fingerprint 00"),
        (b"\0\0\0\0\7x", UnknownSchema, "schema id 7, but no schema registry is configured"),
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


def confluent(schema_id: int, body: bytes) -> bytes:
    return b"\0" + schema_id.to_bytes(4, "big") + body


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_confluent_framing_is_read_with_the_registrys_schema(name: str) -> None:
    message = example(MESSAGES[name])
    schema = schema_of(MESSAGES[name])
    asked: list[int] = []

    def lookup(schema_id: int) -> Any:
        asked.append(schema_id)
        return schema

    serde = Serde(lookup)
    data = confluent(258, written(schema, message.to_avro()))
    assert serde.decode(data) == serde.decode(data) == message
    assert asked == [258]


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "record", "name": "Elsewhere", "fields": []}, "schema id 5 is of Elsewhere, which is no message"),
        ("string", "schema id 5 is no record"),
        (["null", "string"], "schema id 5 is no record"),
        ({"type": "array", "items": "long"}, "schema id 5 is no record"),
    ],
)
def test_a_registrys_schema_of_something_else_is_unknown(schema: Any, reason: str) -> None:
    with pytest.raises(UnknownSchema, match=reason):
        Serde(lambda schema_id: schema).decode(confluent(5, b"x"))


def test_a_registrys_older_schema_is_resolved() -> None:
    schema = older(schema_of(SliceClosed), "rows")
    record = {name: value for name, value in example(SliceClosed).to_avro().items() if name != "rows"}
    decoded: Message = Serde(lambda schema_id: schema).decode(confluent(1, written(schema, record)))
    assert decoded == SliceClosed(**record)
