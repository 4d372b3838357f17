"""Which events are kept: by cap, age and copy, in any order and cutting of what is read."""

from __future__ import annotations

import random

from agents.memory.entry import Entry
from agents.memory.shelf import Shelf
from tests.dataplane import START
from tests.unit.agents.memory.memory_log import entry, filled, sent, signal


def made(name: str, recorded: int, topic: str = "signals") -> Entry:
    message = signal() if topic == "signals" else filled()
    return entry(sent(message, name, START + recorded))


def names(entries: list[Entry]) -> list[str]:
    return [each.message_id for each in entries]


def test_of_each_topic_the_newest_are_kept() -> None:
    shelf = Shelf(max_events=2)
    one, two, three, other = made("1", 1), made("2", 2), made("3", 3), made("f", 0, "fills")
    assert shelf.take([two, one, other], 0) == ([two, one, other], {})
    fresh, gone = shelf.take([three], 0)
    assert (fresh, gone) == ([three], {one.message_id: ("signals", one.position)})
    assert shelf.take([one], 0) == ([], {}), "older than all that is kept"
    assert len(shelf) == 3


def test_what_comes_and_goes_in_one_batch_is_never_written() -> None:
    shelf = Shelf(max_events=1)
    one, two = made("1", 1), made("2", 2)
    assert shelf.take([one, two], 0) == ([two], {})


def test_what_was_recorded_before_the_horizon_goes() -> None:
    shelf = Shelf(max_events=10)
    one, two = made("1", 1), made("2", 2)
    shelf.take([one, two], START)
    assert shelf.take([], START + 1) == ([], {})
    assert shelf.take([], START + 2) == ([], {one.message_id: ("signals", one.position)})
    assert shelf.take([made("3", 1)], START + 2) == ([], {})


def test_of_copies_the_one_recorded_last_counts() -> None:
    shelf = Shelf(max_events=10)
    first, again = made("x", 1), made("x", 5)
    shelf.take([first], 0)
    assert shelf.take([again], 0) == ([again], {first.message_id: ("signals", first.position)})
    assert shelf.take([first, again], 0) == ([], {})
    assert len(shelf) == 1


def test_a_shelf_goes_on_from_the_positions_in_the_store() -> None:
    one, two = made("1", 1), made("2", 2)
    shelf = Shelf(2, {"signals": [one.position, two.position]})
    assert shelf.take([one], 0) == ([], {})
    assert shelf.take([made("3", 3)], 0)[1] == {one.message_id: ("signals", one.position)}


def test_neither_order_nor_cutting_changes_what_is_kept() -> None:
    """Topics with copies and overflow, read in 200 different ways: the same events stay."""
    chance = random.Random(5)
    log = [
        made(str(number % 23), chance.randrange(100), topic) for number in range(60) for topic in ("signals", "fills")
    ]
    # An id stands on one topic.
    log = [made(f"{each.topic} {each.message_id}", index, each.topic) for index, each in enumerate(log)] + [
        made(f"{each.topic} {each.message_id}", 200 + index, each.topic) for index, each in enumerate(log[:40])
    ]
    outcomes = set()
    for _ in range(200):
        chance.shuffle(log)
        shelf, kept = Shelf(max_events=7), dict[str, str]()
        rest = list(log)
        while rest:
            size = chance.randint(1, 30)
            batch, rest = rest[:size], rest[size:]
            fresh, gone = shelf.take(batch, START + 30)
            for name in gone:
                del kept[name]
            kept.update({each.message_id: each.position for each in fresh})
        outcomes.add(tuple(sorted(kept.items())))
    assert len(outcomes) == 1
    assert len(outcomes.pop()) == 14
