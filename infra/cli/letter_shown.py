"""How a dead letter is shown: in a line, and whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orchestrator.summaries import summary
from streams.dead_letters import Letter
from streams.errors import DecodeError
from streams.record import rfc3339
from streams.redrive import Verdict
from streams.serde import Serde

_WIDTH = 16
"""Bytes in a line of a dump."""
Shown = dict[str, Any]


def line(letter: Letter) -> Shown:
    """Return what a list tells of a letter."""
    original = letter.original if letter.is_whole else None
    return {
        "place": letter.place,
        "time": _time(letter.record.timestamp_ms),
        "kind": letter.kind,
        "pool": letter.pool,
        "source": original.place if original else None,
        "redriven": len(letter.redriven),
        "size": len(letter.record.value or b""),
        "reason": letter.reason,
    }


def details(verdict: Verdict, serde: Serde) -> Shown:
    """Return all there is to know of a letter, its bytes in hex."""
    letter = verdict.letter
    record = letter.original if letter.is_whole else letter.record
    key = record.key.encode() if record.odd_key is None else record.odd_key.data
    return {
        **line(letter),
        "key": record.key if record.odd_key is None else None,
        "key_hex": None if key is None else key.hex(),
        "recorded": _time(record.timestamp_ms),
        "headers": [[name, _text(value)] for name, value in record.headers],
        "headers_hex": [[name, None if value is None else value.hex()] for name, value in record.headers],
        "value_hex": None if record.value is None else record.value.hex(),
        "message": _message(record.value, serde),
        "redriven_from": list(letter.redriven),
        "put_back": None if verdict.done is None else {"letter": verdict.done.letter, "time": rfc3339(verdict.done.ts)},
        "redrive": outcome(verdict),
    }


def outcome(verdict: Verdict) -> str:
    """Say what a redrive does with a letter, or did."""
    if verdict.done is not None:
        return f"nothing: its record was put back at {rfc3339(verdict.done.ts)}, from {verdict.done.letter}"
    if verdict.why_not:
        return f"refused: {verdict.why_not}"
    pool = verdict.letter.only_for
    return f"its record goes back to {verdict.letter.topic}{f', for {pool} alone' if pool else ''}"


def lines(shown: Shown, max_bytes: int) -> Iterator[str]:
    """Yield a letter as people read it, up to max_bytes of its value."""
    yield from map(printable, _lines(shown, max_bytes))


def printable(text: object) -> str:
    """Return a text whose control characters are escaped: what strangers wrote must not drive a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def _lines(shown: Shown, max_bytes: int) -> Iterator[str]:
    for title, name in (("dead letter", "place"), ("reason", "reason"), ("kind", "kind"), ("refused by", "pool")):
        yield f"{title:<12} {shown[name]}"
    yield f"{'refused at':<12} {shown['time']}"
    yield f"{'came from':<12} {shown['source']}, recorded at {shown['recorded']}"
    for place in shown["redriven_from"]:
        yield f"{'redriven':<12} before, from {place}"
    yield f"{'on redrive':<12} {shown['redrive']}"
    key = f"no text: {shown['key_hex'] or 'null'}" if shown["key"] is None else shown["key"]
    yield f"{'key':<12} {key}"
    yield "headers"
    for name, value in shown["headers"]:
        yield f"  {name}: {'null' if value is None else value}"
    says = f"{shown['message']['type']}: {shown['message']['says']}" if shown["message"] else "none that can be read"
    yield f"{'message':<12} {says}"
    yield from _dump(shown["value_hex"], max_bytes)


def _dump(value: str | None, max_bytes: int) -> Iterator[str]:
    if value is None:
        yield "value        null"
        return
    data = bytes.fromhex(value)
    yield f"{'value':<12} {len(data):,} bytes"
    shown = data[:max_bytes]
    for begin in range(0, len(shown), _WIDTH):
        part = shown[begin : begin + _WIDTH]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        yield f"  {begin:08x}  {part.hex(' '):<{3 * _WIDTH}} {text}"
    if len(data) > len(shown):
        yield f"  {len(data) - len(shown):,} bytes more: --bytes {len(data)}, or --json"


def _message(value: bytes | None, serde: Serde) -> dict[str, Any] | None:
    try:
        message = serde.decode(value)
    except DecodeError:
        return None
    return {"type": type(message).__name__, "says": summary(message), "fields": message.to_avro()}


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="backslashreplace")


def _time(ms: int) -> str:
    return rfc3339(max(ms, 0) * 1_000_000)
