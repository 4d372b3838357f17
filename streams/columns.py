"""Columnar blocks to Avro bytes and back through numpy.

Avro stores a one-block array of doubles as contiguous little-endian doubles, so a column is copied, or viewed, whole.
The bytes are those that fastavro writes. Any other legal Avro layout is not read here: decode returns None, and the
caller falls back to fastavro.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from schemas.avro import schema_of
from schemas.market import Columns

_DOUBLES = {"type": "array", "items": "double"}
_INTS = {"type": "array", "items": "int"}


@cache
def _layout(kind: type[Columns]) -> tuple[tuple[str, str], ...]:
    fields = schema_of(kind)["fields"]
    names = {str(_DOUBLES): "doubles", str(_INTS): "ints"}
    return tuple((field["name"], names.get(str(field["type"]), str(field["type"]))) for field in fields)


def encode(block: Columns) -> bytes:
    """Write a block as one Avro record without framing."""
    parts: list[bytes] = []
    values = block.__dict__
    for name, kind in _layout(type(block)):
        value = values[name]
        if kind == "doubles":
            parts += (_long(len(value)), value.astype("<f8", copy=False).tobytes(), b"\0")
        elif kind == "ints":
            parts += (_long(len(value)), (value << 1).astype(np.uint8).tobytes(), b"\0")
        elif kind == "string":
            text = value.encode()
            parts += (_long(len(text)), text)
        else:
            parts.append(_long(value) if kind == "long" else bytes((value,)))
    return b"".join(parts)


def decode(kind: type[Columns], data: bytes, start: int = 0) -> dict[str, Any] | None:
    """Read a record that this module or fastavro wrote; None where its layout is another one."""
    reader = _Reader(data, start)
    record: dict[str, Any] = {}
    try:
        for name, avro in _layout(kind):
            record[name] = getattr(reader, avro)()
    except (_OtherLayout, IndexError, ValueError):
        return None
    return record if reader.position == len(data) else None


class _OtherLayout(Exception):
    """The bytes may still be legal Avro."""


class _Reader:
    def __init__(self, data: bytes, position: int) -> None:
        self.data = data
        self.position = position

    def long(self) -> int:
        value = shift = 0
        while True:
            byte = self.data[self.position]
            self.position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80 and value < 1 << 64:
                return (value >> 1) ^ -(value & 1)
            shift += 7
            if shift > 63:
                raise _OtherLayout

    def boolean(self) -> bool:
        byte = self.data[self.position]
        self.position += 1
        if byte > 1:
            raise _OtherLayout
        return bool(byte)

    def string(self) -> str:
        return self._take(self.long()).decode()

    def doubles(self) -> Any:
        count = self._count()
        start = self.position
        self._take(8 * count)
        self._end()
        return np.frombuffer(self.data, "<f8", count, start)

    def ints(self) -> Any:
        count = self._count()
        column = np.frombuffer(self._take(count), np.uint8)
        if column.max() >= 0x80 or (column & 1).any():
            raise _OtherLayout
        self._end()
        return column >> 1

    def _count(self) -> int:
        count = self.long()
        if count <= 0:
            raise _OtherLayout
        return count

    def _take(self, size: int) -> bytes:
        end = self.position + size
        if size < 0 or end > len(self.data):
            raise _OtherLayout
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def _end(self) -> None:
        if self.data[self.position] != 0:
            raise _OtherLayout
        self.position += 1


def _long(value: int) -> bytes:
    encoded = (value << 1) ^ (value >> 63)
    out = bytearray()
    while encoded > 0x7F:
        out.append((encoded & 0x7F) | 0x80)
        encoded >>= 7
    out.append(encoded)
    return bytes(out)
