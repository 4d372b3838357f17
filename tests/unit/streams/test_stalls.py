"""A reader's partitions that stand still although records wait."""

from streams.record import TopicPartition
from streams.stalls import WATCH_S, Stalls

ONE, TWO = TopicPartition("bars", 0), TopicPartition("bars", 1)


def test_what_is_behind_and_does_not_move_from_look_to_look_is_stuck() -> None:
    stalls = Stalls({ONE: 5, TWO: 5}, now=0.0)
    assert stalls.standing({ONE: 5, TWO: 5}, (), WATCH_S - 1) == []
    assert stalls.standing({ONE: 5, TWO: 6}, (), WATCH_S) == [ONE]
    assert stalls.stuck({ONE: 9}) == []
    assert stalls.standing({ONE: 5, TWO: 6}, (), 2 * WATCH_S) == [ONE, TWO]
    assert stalls.stuck({ONE: 9, TWO: 6}) == [ONE]


def test_what_moved_in_between_is_not_stuck() -> None:
    stalls = Stalls({ONE: 5}, now=0.0)
    assert stalls.standing({ONE: 5}, (), WATCH_S) == [ONE]
    assert stalls.stuck({ONE: 9}) == []
    assert stalls.standing({ONE: 9}, (), 2 * WATCH_S) == []
    assert stalls.standing({ONE: 9}, (), 3 * WATCH_S) == [ONE]
    assert stalls.stuck({ONE: 12}) == []


def test_what_is_at_its_end_or_was_paused_is_not_stuck() -> None:
    stalls = Stalls({ONE: 5, TWO: 5}, now=0.0)
    for look in range(1, 5):
        assert stalls.standing({ONE: 5, TWO: 5}, {TWO}, look * WATCH_S) == [ONE]
        assert stalls.stuck({ONE: 5}) == []
    stalls.resumed({TWO})
    assert stalls.standing({ONE: 5, TWO: 5}, (), 5 * WATCH_S) == [ONE]
