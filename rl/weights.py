"""Arrays as bytes: the safetensors format, which executes nothing when it is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize
from safetensors.numpy import load, save

from schemas.message import canonical_json
from streams.errors import InvalidData

Arrays = dict[str, NDArray[Any]]
_check: Callable[[bytes], object] = deserialize
_FORMAT = "finagent.format"
_METADATA = "finagent.metadata"


def part_of(arrays: Mapping[str, Any], prefix: str) -> Arrays:
    """Return the arrays whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def sha256(data: bytes) -> str:
    """Return the SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def pack(kind: str, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any]) -> bytes:
    """Return arrays and what must be known of them as bytes; equal contents give equal bytes.

    kind names what they are, with a version: a reader of another kind refuses them.
    """
    plain = {name: np.ascontiguousarray(array) for name, array in sorted(arrays.items())}
    return _ordered(save(plain, {_FORMAT: kind, _METADATA: canonical_json(dict(metadata))}))


def _ordered(data: bytes) -> bytes:
    """Return a file with its header's keys in order: the library writes those of the metadata in any."""
    size = int.from_bytes(data[:8], "little")
    header = canonical_json(json.loads(data[8 : 8 + size])).encode()
    padded = header.ljust(-(-len(header) // 8) * 8)
    return len(padded).to_bytes(8, "little") + padded + data[8 + size :]


def unpack(kind: str, data: bytes, digest: str) -> tuple[Arrays, dict[str, Any]]:
    """Return what pack was given; raise InvalidData for bytes that were changed, or of another kind."""
    found = sha256(data)
    if found != digest:
        raise InvalidData(f"{kind}: SHA-256 is {found}, expected {digest}: it was changed after it was written")
    told = _header(kind, data)
    if told.get(_FORMAT) != kind:
        raise InvalidData(f"expected a {kind}, got {told.get(_FORMAT) or 'a foreign file'}")
    try:
        return load(data), _object(told[_METADATA])
    except (SafetensorError, KeyError, ValueError) as error:
        raise InvalidData(f"{kind}: {error}") from error


def _header(kind: str, data: bytes) -> dict[str, str]:
    try:
        _check(data)
    except SafetensorError as error:
        raise InvalidData(f"{kind}: not a safetensors file: {error}") from error
    size = int.from_bytes(data[:8], "little")
    header = _object(data[8 : 8 + size].decode())
    return dict(header.get("__metadata__", {}))


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise InvalidData("the JSON is nested too deeply") from error
    if not isinstance(found, dict):
        raise InvalidData(f"expected a JSON object, got {type(found).__name__}")
    return found
