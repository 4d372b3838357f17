"""A digest of a whole table that follows each change of it: LtHash (Lewi, Kim, Maykov and Weis, 2019).

Each entry is hashed to 1,024 lanes of 16 bits, and the lanes of all entries are added up. An entry is put in or taken
out by one addition, whatever the size of the table, and nobody can make up another table of the same digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

_LANES = 1024
_LANE_BYTES = 2


class TableDigest:
    """The digest of names and their texts."""

    def __init__(self, entries: Mapping[str, str]) -> None:
        self._sum = np.zeros(_LANES, np.uint16)
        for name, text in entries.items():
            self.put(name, text)

    def put(self, name: str, text: str) -> None:
        """Follow an entry that comes."""
        self._sum += _lanes(name, text)

    def take(self, name: str, text: str) -> None:
        """Follow an entry that goes; it must be there."""
        self._sum -= _lanes(name, text)

    def __str__(self) -> str:
        return hashlib.sha256(self._sum.tobytes()).hexdigest()


def _lanes(name: str, text: str) -> npt.NDArray[np.uint16]:
    entry = hashlib.sha256(json.dumps(name).encode() + text.encode(errors="surrogatepass")).digest()
    return np.frombuffer(hashlib.shake_128(entry).digest(_LANES * _LANE_BYTES), "<u2")
