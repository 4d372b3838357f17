"""Dead letters: records that no handler can take, kept whole with the reason."""

from __future__ import annotations

from streams.record import Received, Record
from streams.topics import dead_letters

REASON, TOPIC, PARTITION, OFFSET, POOL = (f"dlq_{name}" for name in ("reason", "topic", "partition", "offset", "pool"))


def dead_letter(record: Received, reason: str, pool: str) -> Record:
    """Return the dead letter of a record: its bytes and headers as they were, and why and where it was refused."""
    why = (
        (REASON, reason.encode()[:2000]),
        (TOPIC, record.topic.encode()),
        (PARTITION, str(record.partition).encode()),
        (OFFSET, str(record.offset).encode()),
        (POOL, pool.encode()),
    )
    headers = (*record.headers, *why)
    return Record(dead_letters(record.topic), record.key, record.value, headers, record.partition, record.timestamp_ms)
