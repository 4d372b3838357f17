"""Dead letters as the API shows them."""

from __future__ import annotations

from collections import deque

from infra.server.history import Place
from infra.server.models import DeadLetterView
from orchestrator.summaries import summary
from streams.dead_letters import OFFSET, PARTITION, POOL, REASON, TOPIC
from streams.errors import DecodeError
from streams.record import Received, rfc3339
from streams.serde import Serde
from streams.topics import DEAD_LETTER_SUFFIX

_PREVIEW = 200


class DeadLetters:
    """The newest dead letters of each topic."""

    def __init__(self, serde: Serde, history: int) -> None:
        self._serde = serde
        self._kept: deque[Received] = deque(maxlen=history)
        self.counts: dict[str, int] = {}
        """All that were seen, by the topic that they come from."""

    def add(self, record: Received) -> None:
        """Note a dead letter."""
        source = record.topic.removesuffix(DEAD_LETTER_SUFFIX)
        self.counts[source] = self.counts.get(source, 0) + 1
        self._kept.append(record)

    def page(self, topic: str | None, limit: int, before: Place | None) -> tuple[list[DeadLetterView], str | None]:
        """Return the newest of a topic, newest first, and the cursor of the next page."""
        names = None if topic is None else {topic, topic + DEAD_LETTER_SUFFIX}
        found = sorted((each for each in self._kept if names is None or each.topic in names), key=_place, reverse=True)
        found = [each for each in found if before is None or _place(each) < before]
        page = found[:limit]
        return [self._view(each) for each in page], str(_place(page[-1])) if len(found) > limit else None

    def _view(self, record: Received) -> DeadLetterView:
        why = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
        return DeadLetterView(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            reason=why.get(REASON, ""),
            source_topic=why.get(TOPIC, ""),
            source_partition=_number(why.get(PARTITION)),
            source_offset=_number(why.get(OFFSET)),
            pool=why.get(POOL, ""),
            time=rfc3339(record.timestamp_ms * 1_000_000),
            size=len(record.value or b""),
            preview=self._preview(record.value or b""),
        )

    def _preview(self, value: bytes) -> str:
        try:
            return summary(self._serde.decode(value))[:_PREVIEW]
        except DecodeError:
            return value[: _PREVIEW // 2].hex()


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() else -1


def _place(record: Received) -> Place:
    return Place(record.timestamp_ms, record.partition, record.offset)
