"""Structured logs: one JSON object a line, with what was being handled when it was written."""

from __future__ import annotations

import datetime as dt
import logging
import math
from collections.abc import Callable
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from schemas import Message
from streams.in_hand import IN_HAND, TASK
from streams.record import Event, rfc3339
from streams.slices import Work

_FOR_TERMINALS = "color_message"
"""What uvicorn passes along for terminals."""
_OF_MESSAGE = ("workflow_id", "run_id", "strategy_id", "account_id", "instrument_id")


class JsonLines(JsonFormatter):
    """Writes time (RFC 3339, UTC), level, logger, message, the task, and the ids of the record in hand."""

    def __init__(self, clean: Callable[[str], str]) -> None:
        super().__init__("%(message)s")
        self._clean = clean

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        """Put the fields together; those passed as `extra` follow and replace none of ours."""
        given: dict[str, Any] = {}
        super().add_fields(given, record, message_dict)
        time = dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="microseconds")
        log_data["time"] = time.replace("+00:00", "Z")
        log_data["level"] = record.levelname
        log_data["logger"] = record.name
        log_data["message"] = record.getMessage()
        log_data.update(in_hand())
        kept = {name: value for name, value in given.items() if name not in log_data and name != _FOR_TERMINALS}
        log_data.update(kept)

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Take the secrets out of every text: in the finished line that could break its quoting."""
        return {name: self._cleaned(value) for name, value in log_data.items()}

    def _cleaned(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {self._cleaned(key): self._cleaned(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self._cleaned(each) for each in value]
        plain = value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))
        return value if plain else self._clean(str(value))


def in_hand() -> dict[str, str | int]:
    """Return the task that runs here and the ids of what it handles; empty outside tasks."""
    task, held = TASK.get(), IN_HAND.get()
    fields: dict[str, str | int] = {"task": task, "pool": task.rpartition(".")[0] or task} if task else {}
    if isinstance(held, Work):
        if held.phase is not None:
            return {**fields, "phase": held.phase.name, "slice": rfc3339(held.slice or 0)}
        held = held.events[0] if len(held.events) == 1 else None
    return {**fields, **_of_event(held)} if held is not None else fields


def _of_event(event: Event) -> dict[str, str | int]:
    envelope, record = event.envelope, event.record
    fields: dict[str, str | int] = {
        "message_id": envelope.message_id,
        "correlation_id": envelope.correlation_id,
        "causation_id": envelope.causation_id,
        "type": envelope.type,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
    }
    if envelope.slice is not None:
        fields["slice"] = rfc3339(envelope.slice)
    if envelope.traceparent is not None:
        fields["trace_id"] = envelope.traceparent.split("-")[1]
    return {**fields, **_of_message(event.message)}


def _of_message(message: Message) -> dict[str, str]:
    found = {name: str(value) for name in _OF_MESSAGE if (value := getattr(message, name, None))}
    strategy = getattr(message, "strategy", None)
    if strategy is not None:
        found["strategy_id"] = strategy.strategy_id
    return found
