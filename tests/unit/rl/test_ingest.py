"""Chunks off the log: what is refused, and that each counts once."""

from __future__ import annotations

import numpy as np
import pytest

from rl.ingest import Chunk, Intake, chunk_of
from rl.rollouts import Rollouts
from rl.segments import Segments, chained
from schemas import TransitionsRecorded
from streams.errors import DecodeError, InvalidValues, Misplaced
from streams.record import Received, Record
from tests.training import LAYOUT, SERDE, chunk, record, rows


def received(made: Record) -> Received:
    return Received(made.topic, 0, 7, made.key, made.value, tuple(made.headers), made.timestamp_ms)


def read(message: TransitionsRecorded, **more: object) -> Chunk | None:
    return chunk_of(received(record(message, **more)), SERDE, "t", LAYOUT)


def test_a_chunk_is_read_as_it_was_recorded() -> None:
    found = read(chunk(4, episode_rewards=(1.5, -2.0), episode_steps=(3, 4)))
    assert found is not None
    np.testing.assert_array_equal(found.rows, rows(20))
    assert (found.actor_id, found.epoch, found.sequence, found.transitions) == ("a", 1, 4, 20)
    assert [(episode.reward, episode.steps) for episode in found.episodes] == [(1.5, 3), (-2.0, 4)]


def test_a_chunk_of_another_training_is_passed_over() -> None:
    assert read(chunk(0, training_id="u")) is None
    assert read(chunk(0, training_id="u"), headers=record(chunk(0)).headers) is None


def bad_rows(value: float, column: int) -> np.ndarray:
    made = rows(20)
    made[3, 1, column] = value
    return made


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (chunk(0, rows=rows(20).tobytes()[:-4]), "multiple of"),
        (chunk(0, rows=b"", environments=2), "multiple of"),
        (chunk(0, rows=bad_rows(np.nan, 0)), "not finite"),
        (chunk(0, rows=bad_rows(np.inf, LAYOUT.reward)), "not finite"),
        (chunk(0, rows=bad_rows(0.5, LAYOUT.terminated)), "0 or 1"),
        (chunk(0, observation_size=3), r"sizes \(3, 2\), expected \(2, 2\)"),
        (chunk(0, episode_rewards=(1.0,)), "1 episode_rewards, but 0"),
    ],
)
def test_a_malformed_chunk_is_refused_with_the_reason(message: TransitionsRecorded, reason: str) -> None:
    with pytest.raises(InvalidValues, match=reason):
        read(message)


def test_a_chunk_under_another_key_is_misplaced() -> None:
    with pytest.raises(Misplaced, match="'b', the actor 'a'"):
        read(chunk(0), key="b")


def test_bytes_that_are_no_message_are_refused() -> None:
    with pytest.raises(DecodeError, match="framing"):
        read(chunk(0), value=b"?????")


def taken(intake: Intake, *names: tuple[int, int]) -> list[bool]:
    made = [Chunk("a", epoch, sequence, 0, rows(2), (), 0, 0) for epoch, sequence in names]
    return [intake.take(each) for each in made]


def test_each_chunk_counts_once() -> None:
    intake = Intake()
    assert taken(intake, (1, 0), (1, 0), (1, 1), (1, 1), (1, 0), (1, 2)) == [True, False, True, False, False, True]
    assert intake.counts == {"duplicate": 3}
    assert taken(Intake.restored(intake.state()), (1, 2), (1, 3)) == [False, True]


def test_an_actors_former_start_no_longer_counts(caplog: pytest.LogCaptureFixture) -> None:
    intake = Intake()
    assert taken(intake, (1, 0), (5, 0), (1, 1), (5, 1)) == [True, True, False, True]
    assert intake.counts == {"superseded": 1}
    assert "superseded" in caplog.text


def test_a_gap_is_counted_and_said(caplog: pytest.LogCaptureFixture) -> None:
    intake = Intake()
    assert taken(intake, (1, 0), (1, 3), (1, 1), (2, 1)) == [True, True, False, True]
    assert intake.counts == {"missing": 3, "duplicate": 1}
    assert "2 chunks are missing before chunk 3 of a's start 1" in caplog.text


def part(actor: str, sequence: int, steps: int, epoch: int = 1) -> Chunk:
    first = 100 * sequence + (1000 if actor == "b" else 0)
    return Chunk(actor, epoch, sequence, 1, rows(2 * steps, first), (), 0, sequence)


def test_rollouts_stand_side_by_side_in_the_order_of_names() -> None:
    rollouts = Rollouts(actors=2, n_steps=5)
    for each in (part("b", 0, 5), part("a", 0, 3), part("a", 1, 2)):
        assert not rollouts.complete
        assert rollouts.add(each) == 0
    assert rollouts.complete
    rollout = rollouts.take()
    a = np.concatenate([part("a", 0, 3).rows, part("a", 1, 2).rows])
    np.testing.assert_array_equal(rollout, np.concatenate([a, part("b", 0, 5).rows], axis=1))
    assert rollouts.clear() == 0


def test_a_rollout_that_was_broken_off_is_not_patched_up() -> None:
    rollouts = Rollouts(actors=1, n_steps=5)
    assert [rollouts.add(part("a", 0, 3)), rollouts.add(part("a", 0, 3, epoch=2))] == [0, 1]
    assert rollouts.waiting == {"a": 3}
    assert rollouts.add(part("a", 1, 3, epoch=2)) == 2
    assert not rollouts.complete


def test_segments_join_what_follows_and_leave_with_their_rows() -> None:
    segments = Segments(capacity=50)
    for partition, offset in ((0, 0), (0, 2), (1, 0), (0, 4)):
        segments.add((partition, offset), 20, b"x")
    segments.close(0)
    segments.add((0, 8), 20, b"y")
    assert [(each.partition, each.start, each.end, each.rows) for each in segments] == [
        (1, 0, 1, 20),
        (0, 4, 5, 20),
        (0, 8, 9, 20),
    ]
    assert segments.rows == 60
    joined = Segments(capacity=100)
    joined.add((0, 0), 20, b"x")
    joined.add((0, 2), 20, b"y")
    assert [each.digest for each in joined] == [chained(chained("", b"x"), b"y")]
