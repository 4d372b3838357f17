"""Messages to bytes and back: Avro single-object encoding; the decoder takes Confluent framing too."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import fastavro
from pydantic import ValidationError

from schemas import MESSAGES, Message
from schemas.avro import fingerprint_of, parsed, released, schema_of
from schemas.market import Columns
from streams import columns
from streams.errors import DecodeError, UnknownSchema

SINGLE_OBJECT = b"\xc3\x01"
CONFLUENT = 0
SchemaLookup = Callable[[int], Any]
"""Returns the writer's schema for a Confluent schema id, or raises UnknownSchema."""


def _no_registry(schema_id: int) -> Any:
    raise UnknownSchema(f"Confluent schema id {schema_id}, but no schema registry is configured")


class Serde:
    """Encode with the current schemas; decode what any released schema wrote.

    A writer's schema is known by the CRC-64-AVRO fingerprint of its canonical form, or by its id in a registry.
    """

    def __init__(self, lookup: SchemaLookup = _no_registry) -> None:
        self._lookup = lookup
        self._registered: dict[int, Any] = {}
        self._readers: dict[str, Any] = {}
        self._prefixes: dict[type[Message], bytes] = {}
        self._writers: dict[bytes, tuple[type[Message], Any, bool]] = {}
        for name, versions in released().items():
            for schema in versions.values():
                self._know(MESSAGES[name], schema, current=False)
        for kind in MESSAGES.values():
            self._know(kind, schema_of(kind), current=True)

    def _know(self, kind: type[Message], schema: Any, *, current: bool) -> None:
        prefix = SINGLE_OBJECT + fingerprint_of(schema).to_bytes(8, "little")
        self._writers[prefix] = (kind, parsed(schema), current)
        if current:
            self._prefixes[kind] = prefix
            self._readers[kind.__name__] = parsed(schema)

    def encode(self, message: Message) -> bytes:
        """Write a message; a field that the schema lacks is an error."""
        kind = type(message)
        if isinstance(message, Columns):
            return self._prefixes[kind] + columns.encode(message)
        out = io.BytesIO()
        out.write(self._prefixes[kind])
        fastavro.schemaless_writer(out, self._readers[kind.__name__], message.to_avro(), strict=True)
        return out.getvalue()

    def decode(self, data: bytes | None) -> Message:
        """Read and validate a message; raise DecodeError or UnknownSchema that says why it cannot be."""
        if not data:
            raise DecodeError("the value is empty")
        kind, writer, current, start = self._writer_of(data)
        try:
            record = self._record(kind, writer, current, data, start)
            return kind.from_avro(record)
        except ValidationError as error:
            raise DecodeError(f"{kind.__name__} is invalid: {_reasons(error)}") from None
        except UnknownSchema:
            raise
        except Exception as error:  # fastavro raises whatever its C code meets in broken bytes
            raise DecodeError(f"bytes are not a {kind.__name__}: {type(error).__name__}: {error}") from None

    def peek(self, data: bytes | None, name: str) -> Any:
        """Return a field of a message as it was written, unvalidated, at a tenth of decode's cost; None for none."""
        try:
            _, writer, _, start = self._writer_of(data or b"-")
            stream = io.BytesIO(data or b"")
            stream.seek(start)
            record = fastavro.schemaless_reader(stream, writer, None)
            return record.get(name) if isinstance(record, dict) and stream.tell() == len(data or b"") else None
        except Exception:  # whatever is wrong with it, decode says
            return None

    def _record(self, kind: type[Message], writer: Any, current: bool, data: bytes, start: int) -> Any:
        if current and issubclass(kind, Columns):
            block = columns.decode(kind, data, start)
            if block is not None:
                return block
        stream = io.BytesIO(data)
        stream.seek(start)
        record = fastavro.schemaless_reader(stream, writer, None if current else self._readers[kind.__name__])
        if stream.tell() != len(data):
            raise DecodeError(f"{len(data) - stream.tell()} bytes follow the {kind.__name__}")
        return record

    def _writer_of(self, data: bytes) -> tuple[type[Message], Any, bool, int]:
        if data[:2] == SINGLE_OBJECT:
            known = self._writers.get(data[:10])
            if known is None:
                raise UnknownSchema(f"no schema has the fingerprint {data[2:10].hex()}")
            return *known, 10
        if data[0] == CONFLUENT and len(data) > 5:
            return *self._registered_writer(int.from_bytes(data[1:5], "big")), 5
        raise DecodeError(f"no Avro framing: the value starts with {data[:2].hex()}")

    def _registered_writer(self, schema_id: int) -> tuple[type[Message], Any, bool]:
        if schema_id not in self._registered:
            schema = self._lookup(schema_id)
            if not isinstance(schema, dict) or "name" not in schema:
                raise UnknownSchema(f"schema id {schema_id} is no record but {schema!r}")
            kind = MESSAGES.get(str(schema["name"]).rsplit(".", 1)[-1])
            if kind is None:
                raise UnknownSchema(f"schema id {schema_id} is of {schema['name']}, which is no message")
            self._registered[schema_id] = (kind, parsed(schema), False)
        known: tuple[type[Message], Any, bool] = self._registered[schema_id]
        return known


def _reasons(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'message'}: {problem['msg']}" for problem in error.errors()
    )
