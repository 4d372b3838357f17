"""The compatibility checker on hand-made pairs, and fastavro's verdict on the same pairs."""

import io
from typing import Any

import fastavro
import pytest

from schemas.avro import incompatibilities


def record(*fields: dict[str, Any], name: str = "R") -> dict[str, Any]:
    return {"type": "record", "name": name, "namespace": "finagent", "fields": list(fields)}


def field(name: str, kind: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **more}


A = record(field("a", "string"))
A_B = record(field("a", "string"), field("b", "long"))
A_B0 = record(field("a", "string"), field("b", "long", default=0))
NESTED = record(field("x", record(field("a", "string"), name="N")), field("y", "finagent.N"))
NESTED_MORE = record(
    field("x", record(field("a", "string"), field("b", "long", default=0), name="N")), field("y", "finagent.N")
)
NESTED_LESS = record(field("x", record(field("b", "long"), name="N")), field("y", "finagent.N"))


@pytest.mark.parametrize(
    ("reader", "writer", "problem"),
    [
        (A, A, None),
        (A_B0, A, None),
        (A, A_B0, None),
        (A_B, A, ".b: missing in the writer and without a default"),
        (A, A_B, None),
        (record(field("a", "long")), A, ".a: string cannot be read as long"),
        (record(field("a", "long")), record(field("a", "int")), None),
        (record(field("a", "double")), record(field("a", "long")), None),
        (record(field("a", "double")), record(field("a", "float")), None),
        (record(field("a", "long")), record(field("a", "double")), ".a: double cannot be read as long"),
        (record(field("a", "int")), record(field("a", "long")), ".a: long cannot be read as int"),
        (record(field("a", "boolean")), record(field("a", "int")), ".a: int cannot be read as boolean"),
        (record(field("a", ["null", "string"])), A, None),
        (A, record(field("a", ["null", "string"])), ".a: null cannot be read as string"),
        (
            record(field("a", ["null", "long"])),
            record(field("a", ["null", "string"])),
            ".a: string matches no branch of ['null', 'long']",
        ),
        (
            record(field("a", {"type": "array", "items": "double"})),
            record(field("a", {"type": "array", "items": "long"})),
            None,
        ),
        (
            record(field("a", {"type": "array", "items": "long"})),
            record(field("a", {"type": "array", "items": "string"})),
            ".a[]: string cannot be read as long",
        ),
        (record(field("a", {"type": "array", "items": "string"})), A, ".a: string cannot be read as array"),
        (record(field("a", {"type": "string"})), A, None),
        (NESTED_MORE, NESTED, None),
        (NESTED, NESTED_MORE, None),
        (NESTED_LESS, NESTED, ".x.b: missing in the writer and without a default"),
        (record(field("a", "string"), name="Other"), A, ": record R cannot be read as Other"),
    ],
)
def test_a_reader_reads_a_writer_or_the_reason_is_named(reader: Any, writer: Any, problem: str | None) -> None:
    found = incompatibilities(reader, writer)
    assert found[:1] == ([] if problem is None else [problem])


VALUES = {"string": "s", "long": 7, "int": 7, "double": 0.5, "float": 0.5, "boolean": True, "null": None}


@pytest.mark.parametrize("written", sorted(VALUES))
@pytest.mark.parametrize("read", sorted(VALUES))
def test_the_rules_of_promotion_are_fastavros(read: str, written: str) -> None:
    """Avro also lets bytes and strings stand for each other; no message has bytes."""
    reader, writer = record(field("a", read)), record(field("a", written))
    data = io.BytesIO()
    fastavro.schemaless_writer(data, writer, {"a": VALUES[written]})
    data.seek(0)
    try:
        fastavro.schemaless_reader(data, writer, reader)
    except fastavro.read.SchemaResolutionError:
        readable = False
    else:
        readable = True
    assert (incompatibilities(reader, writer) == []) is readable
