"""Envelope, time, ids, clock and progress."""

import uuid

import pytest

from schemas import Bar
from streams.clock import ManualClock, WallClock
from streams.errors import DecodeError
from streams.ids import NAMESPACE, derive_id, row_id, slice_id, timer_id
from streams.record import Envelope, Event, Received, nanoseconds, rfc3339
from tests.unit.schemas.example_messages import example

ENVELOPE = Envelope("id-1", "Signal", "alpha", 1_700_000_000_123_456_789, "run-1", "cause-1", slice=5)


@pytest.mark.parametrize("slice_", [None, 0, 1_700_000_000_000_000_000])
def test_an_envelope_comes_back_from_its_headers(slice_: int | None) -> None:
    sent = Envelope("id-1", "Signal", "alpha", 1_700_000_000_123_456_789, "run-1", "cause-1", slice_)
    assert Envelope.from_headers(sent.headers()) == sent


def test_headers_are_those_of_the_cloudevents_kafka_binding() -> None:
    assert dict(ENVELOPE.headers()) == {
        "ce_specversion": b"1.0",
        "ce_id": b"id-1",
        "ce_type": b"finagent.Signal",
        "ce_source": b"/finagent/alpha",
        "ce_time": b"2023-11-14T22:13:20.123456789Z",
        "content-type": b"application/avro",
        "correlation_id": b"run-1",
        "causation_id": b"cause-1",
        "slice": b"5",
    }


def test_headers_of_others_are_left_alone() -> None:
    assert Envelope.from_headers([*ENVELOPE.headers(), ("traceparent", b"00-1-2-01")]) == ENVELOPE


@pytest.mark.parametrize("name", ["ce_id", "ce_type", "ce_source", "ce_time", "correlation_id", "causation_id"])
@pytest.mark.parametrize("value", [None, b""])
def test_a_missing_header_is_named(name: str, value: bytes | None) -> None:
    headers = [(key, known) for key, known in ENVELOPE.headers() if key != name]
    if value is not None:
        headers.append((name, value))
    with pytest.raises(DecodeError, match=f"^header {name} is missing$"):
        Envelope.from_headers(headers)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ce_time", b"yesterday"),
        ("ce_time", b"2023-11-14T22:13:20.12x456789Z"),
        ("ce_time", b"2023-11-14T22:13:20+02:00"),
        ("ce_time", b"2023-11-14T22:13:20.5+02:00"),
        ("ce_id", b"\xff\xfe"),
        ("slice", b"soon"),
    ],
)
def test_a_malformed_header_is_refused(name: str, value: bytes) -> None:
    headers = [(key, value if key == name else known) for key, known in ENVELOPE.headers()]
    with pytest.raises(DecodeError, match="a header is malformed"):
        Envelope.from_headers(headers)


@pytest.mark.parametrize("ts", [0, 1, 999_999_999, 1_000_000_000, 951_782_400_000_000_001, 2**63 - 1])
def test_a_time_keeps_its_nanoseconds(ts: int) -> None:
    assert nanoseconds(rfc3339(ts)) == ts


@pytest.mark.parametrize(
    ("text", "ts"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("2000-02-29T00:00:00.25Z", 951_782_400_250_000_000),
    ],
)
def test_a_time_may_have_any_number_of_decimals(text: str, ts: int) -> None:
    assert nanoseconds(text) == ts


def test_an_event_names_its_place() -> None:
    record = Received("bars", 2, 17, "A.X", b"", (), 0)
    assert record.place == "bars[2]@17"
    assert Event(example(Bar), ENVELOPE, record).record.place == "bars[2]@17"


def test_ids_are_the_same_in_every_release() -> None:
    """Ids stand in logs and at venues; a change would double orders on redelivery."""
    assert str(NAMESPACE) == str(uuid.uuid5(uuid.NAMESPACE_URL, "https://finagent.example/ids"))
    assert derive_id("cause", "alpha", "Signal", "run", 0) == "de3a0704-c5e9-531d-ab98-9d1f17ce0f4d"
    assert row_id("feed", "AAPL.XNAS", "1d", 1_700_000_000_000_000_000, 0) == "8dca1740-3d27-5ab5-9b6c-a567a0eef44d"
    assert timer_id("run", 5) == "4c3e99e0-e8cb-5a6b-8309-50ca3323875d"
    assert slice_id(5) == "a44a7834-01f2-5cb5-9a31-ab9ef2aa73d0"


def test_ids_differ_where_anything_differs() -> None:
    parts = [("c", "p", ()), ("c", "p", (0,)), ("c", "p", (1,)), ("d", "p", (0,)), ("c", "q", (0,)), ("c", "p", (0, 1))]
    rows = [("s", "A.X", "1d", 1, 0), ("s", "A.X", "1d", 1, 1), ("s", "A.X", "1m", 1, 0), ("s", "B.X", "1d", 1, 0)]
    ids = [derive_id(cause, pool, *more) for cause, pool, more in parts] + [row_id(*row) for row in rows]
    assert len(set(ids)) == len(ids)


def test_a_manual_clock_moves_only_forward_and_when_told() -> None:
    clock = ManualClock(10)
    assert clock.now() == 10
    clock.advance_to(5)
    assert clock.now() == 10
    clock.advance_to(12)
    assert clock.now() == clock.now() == 12


def test_the_wall_clock_tells_nanoseconds() -> None:
    assert 1_700_000_000_000_000_000 < WallClock().now() < 4_000_000_000_000_000_000
