"""The feed: what it writes on ticks and bars, and what it refuses."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest

from agents.context import bar_id, tick_id
from agents.data.feed import Feed
from schemas import Bar, KillSwitchSet, SliceClosed, StrategyStopped, TickBlock
from streams.broker import partition_of
from streams.errors import Fenced, InvalidData
from streams.record import Envelope, Record
from tests.dataplane import SERDE, START, Plane, bar, instrument, started

THREE = {"account": 1, "instrument": 3, "workflow": 1, "single": 1}
DAYS = [[bar(f"{name}.XNAS", day, 10.0 + day) for name in "ABCD"] for day in range(3)]


def ticks(name: str, at: int, count: int = 3, seq0: int = 0) -> TickBlock:
    return TickBlock(
        instrument_id=name,
        source="test",
        synthetic=True,
        base_ts=START + at,
        seq0=seq0,
        dt_ns=list(range(count)),
        price=[10.0] * count,
        size=[1.0] * count,
        side=[0] * count,
    )


async def plane(partitions: dict[str, int] = THREE) -> Plane:
    made = Plane([], partitions)
    await made.create()
    return made


def opened(made: Plane):
    return Feed.open(made.broker, made.partitions, made.clock, SERDE)


def closings(made: Plane, name: str) -> dict[int, dict[int, SliceClosed]]:
    """Return the closings on a topic by slice and partition."""
    found: dict[int, dict[int, SliceClosed]] = defaultdict(dict)
    for record in made.records(name):
        message = SERDE.decode(record.value)
        if isinstance(message, SliceClosed):
            assert record.partition not in found[message.ts_event], "a partition is closed once"
            found[message.ts_event][record.partition] = message
    return found


async def test_every_slice_is_closed_on_every_partition_of_both_topics() -> None:
    made = await plane()
    async with opened(made) as feed:
        assert await feed.publish(DAYS) == 3
        assert await feed.publish([[ticks("A.XNAS", 10**15), ticks("B.XNAS", 10**15)]]) == 1
        assert feed.state.rows == {"bars": 12, "ticks": 6}
        assert feed.state.slices == 4
    for name in ("ticks", "bars"):
        found = closings(made, name)
        assert list(found) == [*(day[0].ts_event for day in DAYS), START + 10**15 + 2]
        assert all(set(each) == {0, 1, 2} for each in found.values())
    rows = {ts: sum(each.rows for each in found.values()) for ts, found in closings(made, "bars").items()}
    assert list(rows.values()) == [4, 4, 4, 0]
    a, b = (partition_of(f"{name}.XNAS", 3) for name in "AB")
    counted = closings(made, "ticks")[START + 10**15 + 2]
    assert (counted[a].rows, counted[b].rows) == ((6, 6) if a == b else (3, 3))


async def test_rows_stand_before_their_closing_under_their_row_ids() -> None:
    made = await plane()
    async with opened(made) as feed:
        await feed.publish(DAYS)
        block = ticks("A.XNAS", 10**15, seq0=7)
        await feed.publish([[block]])
    for partition in range(3):
        order = [SERDE.decode(r.value) for r in made.records("bars") if r.partition == partition]
        times = [(message.ts_event, isinstance(message, SliceClosed)) for message in order]
        assert times == sorted(times)
    events = made.events("bars")
    assert {event.envelope.message_id for event in events} == {bar_id(row) for day in DAYS for row in day}
    assert all(event.envelope.slice == event.message.ts_event for event in events)
    (event,) = made.events("ticks")
    assert event.envelope.message_id == tick_id(block, 0)
    assert event.record.key == "A.XNAS"


async def test_a_feed_that_starts_again_goes_on_where_it_was() -> None:
    made, whole = await plane(), await plane()
    async with opened(whole) as feed:
        await feed.publish(DAYS)
    async with opened(made) as feed:
        assert await feed.publish(DAYS[:2]) == 2
        assert await feed.publish(DAYS[:2]) == 0
    async with opened(made) as feed:
        assert feed.state.last_slice == DAYS[1][0].ts_event
        assert await feed.publish(DAYS) == 1
        assert feed.state.rows == {"bars": 12}
    for name in ("ticks", "bars"):
        assert [(r.partition, r.value, r.headers) for r in made.records(name)] == [
            (r.partition, r.value, r.headers) for r in whole.records(name)
        ]


async def test_time_that_goes_backwards_is_refused_and_nothing_is_written() -> None:
    made = await plane()
    async with opened(made) as feed:
        with pytest.raises(InvalidData, match=f"time goes backwards: slice {DAYS[0][0].ts_event} after"):
            await feed.publish([DAYS[1], DAYS[0]])
        with pytest.raises(InvalidData, match="time goes backwards"):
            await feed.publish([DAYS[0], DAYS[0]])
        with pytest.raises(InvalidData, match="slice 1 has no rows"):
            await feed.publish([DAYS[0], []])
        assert not made.records("bars")
    async with opened(made) as feed:
        assert feed.state.slices == 0
        assert await feed.publish(DAYS) == 3


async def test_a_refused_call_leaves_the_feed_able_to_go_on() -> None:
    made = await plane()
    async with opened(made) as feed:
        with pytest.raises(InvalidData):
            await feed.publish([DAYS[1], DAYS[0]])
        assert await feed.publish(DAYS) == 3
        assert feed.state.rows == {"bars": 12}


async def test_a_second_feed_fences_the_first() -> None:
    made = await plane()
    async with opened(made) as first:
        await first.publish(DAYS[:1])
        async with opened(made) as second:
            with pytest.raises(Fenced):
                await first.publish(DAYS[1:2])
            assert await second.publish(DAYS) == 2
    assert len(made.events("bars")) == 12


async def test_closings_list_the_runs_that_are_active() -> None:
    made = await plane()
    async with opened(made) as feed:
        await feed.publish(DAYS[:1])
        await made.announce(started("b", [instrument("A")]), started("a", [instrument("A")]))
        await feed.publish(DAYS[1:2])
        await made.say(StrategyStopped(run_id="b", reason="enough", ts_event=START))
        await feed.publish(DAYS[2:])
        assert list(feed.active) == ["a"]
    async with opened(made) as feed:
        assert list(feed.active) == ["a"]
    listed = [{closing.runs for closing in each.values()} for each in closings(made, "bars").values()]
    assert listed == [{()}, {("a", "b")}, {("a",)}]


async def test_publish_now_numbers_ticks_and_never_repeats_a_slice() -> None:
    made = await plane()
    async with opened(made) as feed:
        first = await feed.publish_now([ticks("A.XNAS", 5), ticks("B.XNAS", 5)])
        again = await feed.publish_now([ticks("A.XNAS", 5)])
        late = await feed.publish_now([ticks("A.XNAS", 1, count=1)])
        assert (first, again, late) == (START + 7, START + 8, START + 9)
    async with opened(made) as feed:
        await feed.publish_now([ticks("A.XNAS", 50)])
        given = await feed.publish_now([ticks("A.XNAS", 60, seq0=100)])
        await feed.publish_now([ticks("A.XNAS", 70)])
        assert given == START + 62
    blocks = [event.message for event in made.events("ticks") if isinstance(event.message, TickBlock)]
    numbers = {name: [b.seq0 for b in blocks if b.instrument_id == name] for name in ("A.XNAS", "B.XNAS")}
    assert numbers == {"A.XNAS": [0, 3, 6, 7, 100, 103], "B.XNAS": [0]}
    assert blocks[0].base_ts == START + 5
    slices = [envelope.slice for envelope in map(envelope_of, made.records("ticks"))]
    assert len(set(slices)) == 6


async def test_publish_now_numbers_two_blocks_of_one_instrument_in_their_order() -> None:
    made = await plane()
    async with opened(made) as feed:
        await feed.publish_now([ticks("A.XNAS", 5), ticks("A.XNAS", 9)])
    assert [event.message.seq0 for event in made.events("ticks")] == [0, 3]


async def test_reference_data_is_keyed_by_instrument() -> None:
    made = await plane()
    async with opened(made) as feed:
        await feed.reference_data([instrument("A"), instrument("B", "SIM")])
    assert [event.record.key for event in made.events("instruments")] == ["A.XNAS", "B.SIM"]


async def test_bars_of_one_slice_may_close_at_different_times() -> None:
    made = await plane()
    early = bar("A.XNAS", 0, 10.0, ts_event=START + 1, ts_open=START)
    async with opened(made) as feed:
        await feed.publish([[early, *DAYS[0][1:]]])
    rows = [event for event in made.events("bars") if isinstance(event.message, Bar)]
    assert {event.envelope.slice for event in rows} == {DAYS[0][0].ts_event}


def envelope_of(record) -> Envelope:
    return Envelope.from_headers(record.headers)


async def test_what_cannot_be_read_on_strategies_does_not_stop_the_feed() -> None:
    made = await plane()
    await made.broker.publish([Record("strategies", "run", b"garbage"), Record("strategies", "gone", None)])
    async with opened(made) as feed:
        assert await feed.publish(DAYS) == 3
        assert feed.active == {}


def word(active: bool, account_id: str = "acc", number: int = 0) -> KillSwitchSet:
    return KillSwitchSet(
        account_id=account_id, active=active, reason="why", command_id=f"{account_id} {active} {number}", ts_event=START
    )


def told(made: Plane) -> list[tuple[str, ...]]:
    """Return, by slice, the words that every closing of it tells."""
    found = []
    for bars, ticks_ in zip(closings(made, "bars").values(), closings(made, "ticks").values(), strict=True):
        (same,) = {closing.switches for closing in [*bars.values(), *ticks_.values()]}
        found.append(tuple(each.command_id for each in same))
    return found


async def test_closings_tell_every_halt_and_each_release_once() -> None:
    made = await plane()
    async with opened(made) as feed:
        await made.say(word(True), word(True, "b"))
        await feed.publish(DAYS[:2])
        await made.say(word(False))
        await feed.publish(DAYS[2:])
        await feed.publish_now([ticks("A.XNAS", 10**15)])
    async with opened(made) as feed:
        await feed.publish_now([ticks("A.XNAS", 2 * 10**15)])
        await made.say(word(True, number=1))
        await feed.publish_now([ticks("A.XNAS", 3 * 10**15)])
    both = ("acc True 0", "b True 0")
    assert told(made) == [both, both, ("acc False 0", "b True 0"), both[1:], both[1:], ("acc True 1", "b True 0")]


async def test_a_release_that_came_while_there_was_no_feed_is_told_by_the_next() -> None:
    made = await plane()
    async with opened(made) as feed:
        await made.say(word(True))
        await feed.publish(DAYS[:1])
    await made.say(word(False))
    async with opened(made) as feed:
        assert await feed.close_empty() == -1
        await feed.publish(DAYS)
    assert told(made) == [("acc True 0",), ("acc False 0",), ()]


async def test_an_older_word_that_is_said_again_does_not_undo_a_later_one() -> None:
    made = await plane()
    async with opened(made) as feed:
        await made.say(word(True), word(False))
        await feed.publish(DAYS[:1])
        await made.say(word(True))
        await feed.publish(DAYS[1:2])
    assert told(made) == [("acc False 0",), ()]


async def test_words_are_kept_by_account_apart_from_runs() -> None:
    made = await plane()
    await made.say(word(True), started("acc", [instrument("A")]), word(False))
    assert [event.record.key for event in made.events("strategies")] == ["kill-switch:acc", "acc", "kill-switch:acc"]


async def test_an_empty_slice_is_closed_only_for_a_stop_or_a_word() -> None:
    made = await plane()
    async with opened(made) as feed:
        await made.say(word(True))
        assert await feed.close_empty() == -1, "nothing was traded yet"
        await feed.publish(DAYS[:1])
        first = DAYS[0][0].ts_event
        assert await feed.close_empty() == -1, "the slice told it"
        await made.announce(started("a", [instrument("A")]))
        assert await feed.close_empty() == -1, "a run begins with data"
        await made.say(word(False))
        assert await feed.close_empty() == first + 1
        await made.say(StrategyStopped(run_id="a", reason="enough", ts_event=START))
        assert await feed.close_empty() == first + 2
        assert await feed.close_empty() == -1
        assert (feed.state.last_slice, feed.state.last_data, feed.state.slices) == (first + 2, first, 3)
    found = closings(made, "bars")
    assert [{each.rows for each in of.values()} for of in found.values()][1:] == [{0}, {0}]
    assert list(found) == [first, first + 1, first + 2]


async def test_data_on_the_time_of_an_empty_slice_is_published_just_behind_it() -> None:
    made = await plane()
    near = [[ticks("A.XNAS", number, count=1, seq0=number)] for number in range(4)]
    async with opened(made) as feed:
        await feed.publish(near[:1])
        for number in range(2):
            await made.say(word(True, number=number))
            await feed.close_empty()
        assert await feed.publish(near[:2]) == 1
        assert await feed.publish(near) == 2
        assert await feed.publish(near) == 0
    async with opened(made) as feed:
        assert await feed.publish(near) == 0
    found = closings(made, "ticks")
    assert [ts - START for ts in found] == [0, 1, 2, 3, 4, 5]
    times = [(e.message.base_ts - START, (e.envelope.slice or 0) - START) for e in made.events("ticks")]
    assert times == [(0, 0), (1, 3), (2, 4), (3, 5)]


async def test_calls_at_the_same_time_follow_each_other() -> None:
    made = await plane()
    async with opened(made) as feed:
        await feed.publish(DAYS[:1])
        await made.say(word(True))
        await asyncio.gather(feed.publish(DAYS[1:2]), feed.close_empty(), feed.publish_now([ticks("A.XNAS", 10**15)]))
    assert len(closings(made, "bars")) == 3
    assert len(made.events("bars")) == 8
