"""Traces: which span follows from which, on the data plane in memory; and that they change nothing."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from schemas import OrderFilled, OrderProposed, Signal, SubmitOrder
from streams import tracing
from streams.record import Envelope, Event
from tests.dataplane import Plane, sample, started


@dataclass
class Told:
    """One span."""

    name: str
    attributes: tracing.Attributes
    parent: str | None
    links: Sequence[str]
    traceparent: str
    ended: int = 0
    error: str = ""

    def end(self, error: str = "") -> None:
        self.ended += 1
        self.error = error

    @property
    def trace(self) -> str:
        return self.traceparent.split("-")[1]


@dataclass
class Recorder:
    """A tracer that keeps its spans; ids are counted."""

    spans: list[Told] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def span(
        self, name: str, attributes: tracing.Attributes, parent: str | None = None, links: Sequence[str] = ()
    ) -> Told:
        trace = parent.split("-")[1] if parent else f"{next(self.numbers):032x}"
        told = Told(name, attributes, parent, links, f"00-{trace}-{next(self.numbers):016x}-01")
        self.spans.append(told)
        return told

    def at(self, traceparent: str | None) -> Told:
        [found] = [span for span in self.spans if span.traceparent == traceparent]
        return found

    def line(self, traceparent: str | None) -> list[str]:
        """Return the names from a span up to the root of its trace."""
        names = []
        while traceparent:
            span = self.at(traceparent)
            names.append(span.name)
            traceparent = span.parent
        return names


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    made = Recorder()
    tracing.install(made)
    yield made
    tracing.install(None)


async def traded(plane: Plane) -> None:
    """Trade a few weeks of real bars."""
    instruments, slices = sample(("AAPL", "MSFT"), "2012-01-03", "2012-02-10")
    async with plane.running():
        await plane.announce(started("run", instruments, parameters={"top": 1, "position_size": 0.5}))
        await plane.publish(slices)


def first(plane: Plane, kind: type) -> Event:
    return next(event for event in plane.events(tracing_topic(kind)) if isinstance(event.message, kind))


def tracing_topic(kind: type) -> str:
    return {Signal: "signals", OrderProposed: "targets", SubmitOrder: "orders", OrderFilled: "fills"}[kind]


async def test_a_bar_its_signal_target_order_and_fill_are_one_trace(recorder: Recorder) -> None:
    plane = Plane()
    await traded(plane)
    fill = first(plane, OrderFilled)
    assert isinstance(fill.message, OrderFilled)
    order = next(e for e in plane.events("orders") if e.envelope.message_id == fill.envelope.causation_id)
    assert recorder.line(fill.envelope.traceparent) == [
        "execution OrderFilled",
        "risk control",
        "portfolio construct",
        "alpha decide",
        "feed slice",
    ]
    assert order.envelope.traceparent == recorder.at(fill.envelope.traceparent).parent
    assert order.envelope.slice is not None
    assert recorder.at(order.envelope.traceparent).attributes["finagent.slice"] == order.envelope.slice
    # The fill happened on a later slice, whose own trace it points to.
    [link] = recorder.at(fill.envelope.traceparent).links
    assert recorder.at(link).name == "execution match"
    assert recorder.at(link).attributes["finagent.slice"] == fill.envelope.slice
    bar = next(e for e in plane.events("bars") if e.envelope.slice == order.envelope.slice)
    assert recorder.line(bar.envelope.traceparent) == ["feed slice"]
    assert recorder.at(bar.envelope.traceparent).trace == recorder.at(fill.envelope.traceparent).trace


async def test_the_ledger_points_to_the_trace_of_the_fill_that_it_books(recorder: Recorder) -> None:
    plane = Plane()
    await traded(plane)
    fill = first(plane, OrderFilled)
    [mark] = [
        span
        for span in recorder.spans
        if span.name == "portfolio mark" and span.attributes["finagent.slice"] == fill.envelope.slice
    ]
    assert fill.envelope.traceparent in mark.links
    assert recorder.at(mark.parent).name == "execution match"


async def test_every_span_ends_once(recorder: Recorder) -> None:
    await traded(Plane())
    assert {span.ended for span in recorder.spans} == {1}
    assert {span.error for span in recorder.spans} == {""}
    assert {span.name for span in recorder.spans} >= {"feed slice", "alpha StrategyStarted", "risk control"}


async def test_tracing_changes_no_value_key_place_or_other_header(recorder: Recorder) -> None:
    plane = Plane()
    await traded(plane)
    tracing.install(None)
    plain = Plane()
    await traded(plain)
    for name in ("ticks", "bars", "signals", "targets", "orders", "fills", "positions"):
        assert _said(plane, name) == _said(plain, name), name
        assert all("traceparent" in dict(record.headers) for record in plane.records(name)), name
        assert not any("traceparent" in dict(record.headers) for record in plain.records(name)), name


def _said(plane: Plane, name: str) -> dict[bytes, tuple[object, ...]]:
    """Return what stands on a topic by message id; how commits were cut, and so offsets, is a matter of timing."""
    return {
        dict(each.headers)["ce_id"]: (
            each.key,
            each.value,
            each.partition,
            [header for header in each.headers if header[0] != "traceparent"],
        )
        for each in plane.records(name)
    }


async def test_a_handler_that_raises_marks_its_span(recorder: Recorder) -> None:
    plane = Plane()
    instruments, slices = sample(("AAPL",), "2012-01-03", "2012-01-06")
    async with plane.running():
        await plane.announce(started("run", instruments))
        await plane.publish(slices[:1])
        signal = Signal(
            run_id="nobody",
            strategy_id="s",
            account_id="a-run",
            instrument_id="AAPL.XNAS",
            signal="BUY",
            score=1.0,
            confidence=1.0,
            price=1.0,
            model="test",
            ts_event=1,
        )
        await plane.say(signal)
        await plane.publish(slices[1:2])
    failed = [span for span in recorder.spans if span.error]
    assert [span.name for span in failed] == ["portfolio construct"]
    assert "nobody" in failed[0].error


def test_nothing_is_traced_where_no_tracer_is_installed() -> None:
    assert tracing.installed() is None
    assert tracing.sent("x", {}) is None
    assert tracing.resumed("x", "chain") is None


def test_only_so_many_contexts_are_remembered(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "REMEMBERED", 2)
    known = tracing.installed()
    assert known is not None
    for name in ("a", "b", "a", "c"):
        known.remember(name, f"of {name}")
    assert [known.recall(name) for name in ("a", "b", "c")] == ["of a", None, "of c"]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"rubbish",
        b"00-" + b"0" * 32 + b"-" + b"1" * 16 + b"-01",
        b"00-" + b"1" * 32 + b"-" + b"0" * 16 + b"-01",
        b"01-" + b"1" * 32 + b"-" + b"1" * 16 + b"-01",
        b"00-" + b"A" * 32 + b"-" + b"1" * 16 + b"-01",
        b"\xff\xfe",
    ],
)
def test_a_malformed_context_is_left_out_and_the_message_is_taken(value: bytes) -> None:
    headers = Envelope("id", "Signal", "test", 1, "chain", "cause").headers()
    assert Envelope.from_headers([*headers, ("traceparent", value)]) == Envelope.from_headers(headers)


def test_the_context_travels_in_its_header() -> None:
    context = f"00-{'a' * 32}-{'b' * 16}-01"
    envelope = Envelope("id", "Signal", "test", 1, "chain", "cause", None, context)
    assert ("traceparent", context.encode()) in envelope.headers()
    assert Envelope.from_headers(envelope.headers()) == envelope
    assert "traceparent" not in dict(Envelope("id", "Signal", "test", 1, "chain", "cause").headers())
