"""The digest of all that memory keeps: equal content, equal digest, whatever partitions the log has."""

from __future__ import annotations

import hashlib
import json

from agents.memory.entry import PLACE
from agents.memory.keys import OFFSETS, OWNER, ROOT, RUNS, event_key, reference_key, topic_key
from streams.store import Store

_AT_ONCE = 500
_SETS = (topic_key(""), reference_key(""))


async def digest(store: Store) -> str:
    """Return the SHA-256 over every key and value, places on the log left out; offsets and lease are no content."""
    found = hashlib.sha256()
    keys = [key for key in await store.scan(ROOT) if key not in (OFFSETS, OWNER)]
    sets = [key for key in keys if key == RUNS or key.startswith(_SETS)]
    for key in sets:
        found.update(json.dumps([key, *(each.decode() for each in await store.members(key))]).encode())
    values = sorted(set(keys).difference(sets))
    for begin in range(0, len(values), _AT_ONCE):
        some = values[begin : begin + _AT_ONCE]
        for key, value in zip(some, await store.get_many(some), strict=True):
            found.update(json.dumps([key, _content(key, value)], sort_keys=True).encode())
    return found.hexdigest()


def _content(key: str, value: bytes | None) -> object:
    document = json.loads(value) if value else None
    if document and key.startswith(event_key("")):
        return {name: each for name, each in document.items() if name not in PLACE}
    return document
