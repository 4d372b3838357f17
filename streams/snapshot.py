"""A task's states as of one offset of its changelog, and the bytes that keep them.

The bytes are a line of text with the version, then compressed lines of JSON: what it is of, and each state with its
name.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from streams.errors import UnfitSnapshot

_FORMAT = b"finagent snapshot 1\n"
_LEVEL = 1
MAX_STATES_BYTES = 512_000_000
"""Of a snapshot, before compression; a larger one is not read."""


@dataclass(frozen=True)
class Snapshot:
    """The states of a task."""

    task: str
    """Its id."""
    offset: int
    """Of the changelog's record that it was taken at, the seal of a commit."""
    digest: str
    """Of its states, as that seal names it."""
    states: Mapping[str, str]
    """JSON by name."""

    def encode(self) -> bytes:
        """Return the bytes; another thread may do so: it gives way after each state."""
        packed = zlib.compressobj(_LEVEL)
        head = {"task": self.task, "offset": self.offset, "digest": self.digest, "states": len(self.states)}
        pieces = [_FORMAT, packed.compress(_line(head))]
        pieces += [packed.compress(_line([name, text])) for name, text in self.states.items()]
        return b"".join([*pieces, packed.flush()])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return what bytes hold; raise UnfitSnapshot for what encode of this release has not made."""
        if not data.startswith(_FORMAT):
            raise UnfitSnapshot(f"it begins with {data[: len(_FORMAT)]!r}, expected {_FORMAT!r}: of another release")
        try:
            return cls._of(_unpacked(data))
        except (zlib.error, ValueError, RecursionError) as error:
            raise UnfitSnapshot(f"it is damaged: {error!r}") from None

    @classmethod
    def _of(cls, text: bytes) -> Self:
        first, *rest = text.splitlines()
        states = dict(map(_entry, rest))
        match json.loads(first):
            case {"task": str(task), "offset": int(offset), "digest": str(digest), "states": int(count)}:
                if count != len(states):
                    raise ValueError(f"{len(states)} states, expected {count}")
                return cls(task, offset, digest, states)
        raise ValueError(f"{first[:80]!r} does not say what it is of")


def _line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _entry(line: bytes) -> tuple[str, str]:
    match json.loads(line):
        case [str(name), str(text)]:
            return name, text
    raise ValueError(f"{line[:80]!r} is no state")


def _unpacked(data: bytes) -> bytes:
    packed = zlib.decompressobj()
    text = packed.decompress(data[len(_FORMAT) :], MAX_STATES_BYTES)
    if not packed.eof:
        raise ValueError("it ends before its end, or is larger than any")
    return text
