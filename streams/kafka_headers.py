"""Read records whose header names are no UTF-8, which aiokafka cannot: its consumer raises on one again and again.

Kafka says that names are UTF-8 and does not check it, so any client that may write to a topic could stop its readers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

_LENGTH = struct.Struct(">8xi")
"""Of a batch, after its base offset; 12 bytes come before what it counts."""


def install() -> None:
    """Have the consumers of this process read on where a header's name is no UTF-8; its bytes stand escaped in it."""
    fetcher.MemoryRecords = _Records


class _Records:
    """The batches of a fetched partition, as aiokafka reads them."""

    def __init__(self, data: bytes) -> None:
        self._records = MemoryRecords(data)
        self._data = data
        self._begin = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._records, name)

    def next_batch(self) -> _Batch:
        begin = self._begin
        self._begin += 12 + _LENGTH.unpack_from(self._data, begin)[0]
        return _Batch(self._records.next_batch(), memoryview(self._data)[begin : self._begin])


class _Batch:
    """A batch that is read once more by other means where aiokafka's fail."""

    def __init__(self, batch: Any, data: memoryview) -> None:
        self._batch = batch
        self._data = data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        read = 0
        try:
            for record in self._batch:
                read += 1
                yield record
        except UnicodeDecodeError:
            yield from islice(_escaped(self._data), read, None)


def _escaped(data: memoryview) -> Iterator[Any]:
    batch: Any = _DefaultRecordBatchPy(data)
    batch._maybe_uncompress()
    batch._buffer = _Escaping(batch._buffer)
    return iter(batch)


class _Escaping(bytearray):
    """Bytes that decode whatever they are."""

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return _Escaping(found) if isinstance(index, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, errors)
