"""Messages to bytes and back, framed as Avro single objects, or as Confluent's registries and clients do."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Protocol

import fastavro
from pydantic import ValidationError

from schemas import MESSAGES, Message
from schemas.avro import fingerprint_of, parsed, released, schema_of
from schemas.market import Columns
from streams import columns
from streams.errors import ConfigError, DecodeError, InvalidValues, UnknownSchema

SINGLE_OBJECT = b"\xc3\x01"
CONFLUENT = b"\0"
MAX_REASONS = 5
"""Of what is wrong with a message, so many are told."""


class SchemaSource(Protocol):
    """Knows the schemas that other releases write with."""

    async def find(self, frames: Collection[bytes]) -> Mapping[bytes, Any]:
        """Return the schemas of those frames that are known anywhere.

        Raises BrokerError where it cannot be asked now: what the frames stand for is then still open.
        """
        ...


class Serde:
    """Encode with the current schemas; decode what any known schema wrote.

    A writer's schema is named by the frame before a record: C3 01 and the CRC-64-AVRO fingerprint of its canonical
    form, or 00 and its id in a registry. Known are all released ones, and those learned from the source.
    """

    def __init__(self, source: SchemaSource | None = None) -> None:
        self._source = source
        self._readers: dict[str, Any] = {}
        self._fingerprints: dict[str, int] = {}
        self._frames: dict[type[Message], bytes] = {}
        self._writers: dict[bytes, tuple[type[Message], Any, bool]] = {}
        self._strangers: dict[bytes, str] = {}
        for kind in MESSAGES.values():
            schema = schema_of(kind)
            self._readers[kind.__name__] = parsed(schema)
            self._fingerprints[kind.__name__] = fingerprint_of(schema)
            self._frames[kind] = single_object(self._fingerprints[kind.__name__])
            self.know(self._frames[kind], schema)
        for versions in released().values():
            for schema in versions.values():
                self.know(single_object(fingerprint_of(schema)), schema)

    def write_ids(self, ids: Mapping[type[Message], int]) -> None:
        """From now on write these messages in Confluent framing, and no others."""
        self._frames = {kind: confluent(schema_id) for kind, schema_id in ids.items()}
        for kind, frame in self._frames.items():
            self.know(frame, schema_of(kind))

    def know(self, frame: bytes, schema: Any) -> None:
        """Take a writer's schema in; one of no message is kept as the reason to refuse what it wrote."""
        if not isinstance(schema, dict) or schema.get("type") != "record" or "name" not in schema:
            self._strangers[frame] = f"{named(frame)} is no record but {str(schema)!r:.80}"
            return
        kind = MESSAGES.get(str(schema["name"]).rsplit(".", 1)[-1])
        if kind is None:
            self._strangers[frame] = f"{named(frame)} is of {schema['name']}, which is no message"
            return
        try:
            # What is written alike needs no resolution, and blocks of columns are read by numpy.
            current = fingerprint_of(schema) == self._fingerprints[kind.__name__]
            self._writers[frame] = (kind, self._readers[kind.__name__] if current else parsed(schema), current)
        except Exception as error:  # fastavro raises whatever it meets in what is no schema
            self._strangers[frame] = f"{named(frame)} is no Avro schema: {type(error).__name__}: {error}"

    async def learn(self, values: Iterable[bytes | None]) -> None:
        """Ask the source for the schemas of these values that are not known yet; decode needs no more waiting then.

        Raises BrokerError where the source cannot be asked now: the values must not be refused then.
        """
        known, strangers = self._writers, self._strangers
        frames = {frame for value in values if value and (frame := _frame(value)) not in known}
        if self._source is not None and (unknown := {f for f in frames if f and f not in strangers}):
            for frame, schema in (await self._source.find(unknown)).items():
                self.know(frame, schema)

    def encode(self, message: Message) -> bytes:
        """Write a message; a field that the schema lacks is an error."""
        kind = type(message)
        frame = self._frames.get(kind)
        if frame is None:
            raise ConfigError(f"this process did not ask the schema registry whether it may write a {kind.__name__}")
        if isinstance(message, Columns):
            return frame + columns.encode(message)
        out = io.BytesIO()
        out.write(frame)
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
            raise InvalidValues(f"{kind.__name__} is invalid: {_reasons(error)}") from None
        except DecodeError:
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
        frame = _frame(data)
        if not frame:
            raise DecodeError(f"no Avro framing: the value starts with {data[:2].hex()}")
        known = self._writers.get(frame)
        if known is None:
            raise UnknownSchema(self._strangers.get(frame) or _unknown(frame))
        return *known, len(frame)


def single_object(fingerprint: int) -> bytes:
    """Return what stands before a record in Avro single-object encoding."""
    return SINGLE_OBJECT + fingerprint.to_bytes(8, "little")


def confluent(schema_id: int) -> bytes:
    """Return what stands before a record in Confluent's wire format."""
    return CONFLUENT + schema_id.to_bytes(4, "big")


def id_of(frame: bytes) -> int | None:
    """Return the registry's id in a Confluent frame; None of a single object's."""
    return int.from_bytes(frame[1:], "big") if frame[:1] == CONFLUENT else None


def fingerprint_in(frame: bytes) -> str | None:
    """Return the fingerprint in a single object's frame, in hexadecimal digits as it stands there; None of another."""
    return None if frame[:1] == CONFLUENT else frame[2:].hex()


def named(frame: bytes) -> str:
    """Name a writer's schema, for people."""
    fingerprint = fingerprint_in(frame)
    return f"schema id {id_of(frame)}" if fingerprint is None else f"the schema with the fingerprint {fingerprint}"


def _unknown(frame: bytes) -> str:
    if frame[:1] == CONFLUENT:
        return f"{named(frame)} is in no schema registry that is configured"
    return (
        f"no schema has the fingerprint {fingerprint_in(frame)}: neither one of this release nor on the topic schemas"
    )


def _frame(data: bytes) -> bytes:
    """Return the frame that the data begins with; empty where it begins with none."""
    if data[:2] == SINGLE_OBJECT:
        return data[:10]
    return data[:5] if data[:1] == CONFLUENT and len(data) > 5 else b""


def _reasons(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    said = [f"{'.'.join(map(str, each['loc'])) or 'message'}: {each['msg']}" for each in problems[:MAX_REASONS]]
    more = [f"and {len(problems) - len(said)} more"] if len(problems) > len(said) else []
    return "; ".join([*said, *more])
