"""A seeded flood of malformed records with sound ones in between, and what must become of each.

Some mutations leave a record sound by accident. So what is expected is not what was intended, but what an independent
reading of the finished record says: the .avsc files by fastavro alone, the models, and the rules of headers and keys.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import io
import json
import random
import re
import struct
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import fastavro
from fastavro.schema import fingerprint, parse_schema, to_parsing_canonical_form
from pydantic import ValidationError

import schemas
from schemas import MESSAGES, Message, SliceClosed
from streams.broker import partition_of
from streams.record import OddKey, Record
from streams.topics import TOPICS, key_of
from tests.taker import record_of
from tests.unit.schemas.example_messages import example

NAMES = (
    "ticks",
    "bars",
    "orders",
    "signals",
    "targets",
    "risk",
    "fills",
    "positions",
    "commands",
    "steps",
    "results",
)
PARTITIONS = 2
LARGEST = 1_000_000
SOUND = 0.1
"""Share of records that nothing is done to."""
OVERSIZED = 0.0002
_KEYED = ("instrument_id", "account_id", "workflow_id")
_VARIANTS = 6
_ODD_DOUBLES = (float("nan"), float("inf"), float("-inf"), -1.0, -0.0, 1e308, 5e-324)
_AVSC = Path(schemas.__file__).parent / "avsc"


def flood(seed: int, count: int) -> Iterator[Record]:
    """Yield records with explicit partitions; equal for equal seeds but for the time that they are stamped with."""
    rng, sound = random.Random(seed), _sound()
    for number in range(count):
        record = rng.choice(sound)
        headers = tuple((k, f"m-{seed}-{number}".encode() if k == "ce_id" else v) for k, v in record.headers)
        record = dataclasses.replace(record, headers=headers)
        roll = rng.random()
        if roll < OVERSIZED:
            yield dataclasses.replace(record, value=rng.randbytes(rng.randrange(LARGEST, LARGEST + 40_000)))
        elif roll < OVERSIZED + SOUND:
            yield record
        else:
            yield rng.choice(MUTATIONS)(record, rng)


@cache
def _sound() -> tuple[Record, ...]:
    return tuple(
        dataclasses.replace(record, partition=_partition(record, message))
        for name in NAMES
        for kind in TOPICS[name].types
        for variant in range(_VARIANTS)
        for message in [_variant(kind, variant)]
        for record in [record_of(name, message, "template")]
    )


def _variant(kind: type[Message], variant: int) -> Message:
    made = example(kind, full=variant % 2 == 0)
    named = {name: f"S{variant}.XNAS" for name in _KEYED if name in kind.model_fields}
    if kind is SliceClosed:
        named = {"partition": variant % PARTITIONS}  # type: ignore[dict-item]
    return kind.model_validate(made.model_copy(update=named))


def _partition(record: Record, message: Message) -> int:
    return message.partition if isinstance(message, SliceClosed) else partition_of(record.key, PARTITIONS)


def _value(change: Callable[[bytes, random.Random], bytes | None]) -> Callable[[Record, random.Random], Record]:
    def mutate(record: Record, rng: random.Random) -> Record:
        return dataclasses.replace(record, value=change(record.value or b"", rng))

    return mutate


def _flip(value: bytes, rng: random.Random) -> bytes:
    data = bytearray(value)
    for _ in range(rng.choice((1, 1, 2, 8))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def _splice(value: bytes, rng: random.Random) -> bytes:
    begin, end = sorted((rng.randrange(len(value)), rng.randrange(len(value))))
    return value[:begin] + rng.randbytes(rng.randrange(12)) + value[end:]


def _double(value: bytes, rng: random.Random) -> bytes:
    """Put an odd number in the place of a double, or of eight other bytes."""
    places = [at for at in range(10, len(value) - 8) if value[at : at + 8] == struct.pack("<d", 0.5)]
    at = rng.choice(places) if places else rng.randrange(10, max(len(value) - 8, 11))
    return value[:at] + struct.pack("<d", rng.choice(_ODD_DOUBLES)) + value[at + 8 :]


def _huge_count(value: bytes, rng: random.Random) -> bytes:
    """Put a huge length or count somewhere behind the frame."""
    at, number = rng.randrange(10, len(value)), rng.choice((2**31, 2**62, 2**63 - 1, -(2**40), -(2**63)))
    return value[:at] + _varint(number) + value[at + 1 :]


def _varint(number: int) -> bytes:
    encoded, out = (number << 1) ^ (number >> 63), bytearray()
    encoded &= 2**64 - 1
    while encoded > 0x7F:
        out.append((encoded & 0x7F) | 0x80)
        encoded >>= 7
    return bytes((*out, encoded))


def _other_type(record: Record, rng: random.Random) -> Record:
    return dataclasses.replace(record, value=rng.choice(_sound()).value)


def _without_header(record: Record, rng: random.Random) -> Record:
    gone = rng.randrange(len(record.headers))
    return dataclasses.replace(record, headers=tuple(h for i, h in enumerate(record.headers) if i != gone))


def _odd_header(record: Record, rng: random.Random) -> Record:
    odd: tuple[Any, ...] = (
        None,
        b"",
        b"\xff\xfe",
        b"soon",
        b"x" * 3000,
        rng.randbytes(9),
        b"-1",
        "٣".encode(),
        b"9" * 25,
    )
    names = [name for name, _ in record.headers] + ["slice", "traceparent", "dlq_reason", "ünï"]
    return dataclasses.replace(record, headers=(*record.headers, (rng.choice(names), rng.choice(odd))))


def _odd_key(record: Record, rng: random.Random) -> Record:
    data = rng.choice((None, b"\xff" + rng.randbytes(4), b"\xc3("))
    return dataclasses.replace(record, key=(data or b"").decode(errors="replace"), odd_key=OddKey(data))


def _other_key(record: Record, rng: random.Random) -> Record:
    return dataclasses.replace(record, key=rng.choice(("", "ключ", "鍵\u0000", "k" * 300, "😀", record.key + " ")))


def _elsewhere(record: Record, rng: random.Random) -> Record:
    assert record.partition is not None
    return dataclasses.replace(record, partition=PARTITIONS - 1 - record.partition)


MUTATIONS: tuple[Callable[[Record, random.Random], Record], ...] = (
    _value(lambda value, rng: rng.randbytes(rng.randrange(1, 200))),
    _value(lambda value, rng: value[:10] + rng.randbytes(rng.randrange(200))),
    _value(lambda value, rng: rng.choice((None, b"", b"{}", b"\0", b"\xc3", b"\xc3\x01"))),
    _value(lambda value, rng: value[: rng.randrange(len(value))]),
    _value(lambda value, rng: value + rng.randbytes(rng.randrange(1, 20))),
    _value(lambda value, rng: b"\xc3\x01" + rng.randbytes(8) + value[10:]),
    _value(lambda value, rng: b"\0" + rng.randbytes(4) + value[10:]),
    _value(_flip),
    _value(_flip),
    _value(_splice),
    _value(_double),
    _value(_double),
    _value(_huge_count),
    _other_type,
    _without_header,
    _odd_header,
    _odd_header,
    _odd_key,
    _other_key,
    _elsewhere,
)


def expected(record: Record) -> str:
    """Return the kind of the dead letter that a record must become; empty for a record that must be handled."""
    key = record.key.encode()
    size = len(key) + len(record.value or b"") + sum(len(n) + len(v or b"") + 8 for n, v in record.headers)
    if size > LARGEST:
        return "oversized"
    message, kind = _read(record.value or b"")
    if message is None:
        return kind
    if type(message) not in TOPICS[record.topic].types:
        return "misplaced"
    if not _headers_are_sound(dict(record.headers)):
        return "headers"
    return "" if isinstance(message, SliceClosed) or _is_at_home(record, message) else "misplaced"


def _is_at_home(record: Record, message: Message) -> bool:
    own = key_of(record.topic, message) if hasattr(message, TOPICS[record.topic].key) else record.key
    return record.odd_key is None and record.key == own and record.partition == partition_of(own, PARTITIONS)


@cache
def _writers() -> dict[bytes, tuple[str, Any]]:
    found = {}
    for path in _AVSC.glob("*.avsc"):
        schema = json.loads(path.read_text())
        digest = fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO")
        found[bytes.fromhex(digest)] = path.name.split(".")[0], parse_schema(schema)
    return found


def _current(name: str) -> Any:
    versions = sorted(_AVSC.glob(f"{name}.v*.avsc"), key=lambda path: int(path.name.split(".v")[1].split(".")[0]))
    return _parsed(versions[-1])


@cache
def _parsed(path: Path) -> Any:
    return parse_schema(json.loads(path.read_text()))


@cache
def _reader(name: str) -> Any:
    return _current(name)


def _read(value: bytes) -> tuple[Message | None, str]:
    if value[:1] == b"\0":
        return None, "unknown_schema" if len(value) > 5 else "malformed"
    if value[:2] != b"\xc3\x01":
        return None, "malformed"
    known = _writers().get(value[2:10]) or _writers().get(value[9:1:-1])
    if known is None:
        return None, "unknown_schema"
    name, writer = known
    stream = io.BytesIO(value[10:])
    try:
        fields = fastavro.schemaless_reader(stream, writer, _reader(name))
        if stream.read(1):
            return None, "malformed"
        return MESSAGES[name].model_validate(fields), ""
    except ValidationError:
        return None, "invalid"
    except Exception:
        return None, "malformed"


def _headers_are_sound(headers: dict[str, Any]) -> bool:
    texts = []
    for name in ("ce_id", "ce_type", "ce_source", "ce_time", "correlation_id", "causation_id"):
        value = headers.get(name)
        if not value or len(value) > 1024:
            return False
        try:
            texts.append(value.decode())
        except UnicodeDecodeError:
            return False
    return _is_time(texts[3]) and ("slice" not in headers or _is_slice(headers["slice"]))


def _is_time(text: str) -> bool:
    whole, _, rest = text.removesuffix("Z").partition(".")
    try:
        read = dt.datetime.fromisoformat(whole)
        int(rest.ljust(9, "0")[:9] or 0)
    except ValueError:
        return False
    return read.tzinfo is None and 1970 <= read.year < 2262


def _is_slice(value: bytes | None) -> bool:
    return value is not None and re.fullmatch(rb"[0-9]{1,19}", value) is not None and int(value) < 2**63
