"""The replay buffer beside a plain list, and how often it draws what."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl import replay as module
from rl.config import RLConfiguration
from rl.replay import PrioritizedReplay, Replay, replay_of
from rl.rows import Float32, Layout
from rl.sum_tree import SumTree
from streams.errors import InvalidData

LAYOUT = Layout(1, 1)
WIDTH = LAYOUT.width


def rows(count: int, first: int = 0) -> Float32:
    """Return rows that are all different: row k is full of k."""
    return np.repeat(np.arange(first, first + count, dtype=np.float32)[:, None], WIDTH, axis=1)


def drawn(replay: Replay, count: int) -> np.ndarray:
    """Return the numbers of the rows that are drawn."""
    out = np.empty((count, WIDTH), np.float32)
    replay.sample(out)
    assert (out == out[:, :1]).all()
    return out[:, 0]


def prioritised(capacity: int = 8, *, alpha: float = 1.0, beta: float = 0.5, seed: int = 1) -> PrioritizedReplay:
    return PrioritizedReplay(capacity, LAYOUT, seed, alpha=alpha, beta=beta)


@settings(max_examples=60, deadline=None)
@given(
    capacity=st.integers(1, 40),
    first=st.integers(1, 16),
    sizes=st.lists(st.integers(0, 90), max_size=8),
    looked=st.integers(0, 400),
)
def test_holds_what_a_list_would(capacity: int, first: int, sizes: list[int], looked: int) -> None:
    before, module.FIRST = module.FIRST, first
    try:
        replay, told = Replay(capacity, LAYOUT, 0), list[float]()
        for size in sizes:
            replay.add(rows(size, len(told)))
            told += range(len(told), len(told) + size)
            held = told[-capacity:]
            assert len(replay) == len(held)
            assert replay.inserted == len(told)
            assert sorted(replay.rows[:, 0]) == held
            assert all(replay.rows[int(number) % capacity, 0] == number for number in held)
            assert replay.since(looked)[:, 0].tolist() == [number for number in held if number >= looked]
    finally:
        module.FIRST = before


def test_memory_is_taken_as_rows_come() -> None:
    replay = Replay(10_000_000, Layout(500, 100), 0)
    assert replay._rows.nbytes < 400e6
    small = Replay(1_000_000, LAYOUT, 0)
    small.add(rows(module.FIRST + 1))
    assert len(small._rows) == 2 * module.FIRST


@pytest.mark.parametrize("bad", [np.zeros((2, WIDTH + 1)), np.zeros(WIDTH), np.full((1, WIDTH), np.nan)])
def test_refuses_rows_of_another_width_and_numbers_that_are_not_finite(bad: Any) -> None:
    replay = Replay(4, LAYOUT, 0)
    with pytest.raises(InvalidData):
        replay.add(bad.astype(np.float32))
    assert len(replay) == 0


def test_nothing_is_drawn_from_an_empty_buffer() -> None:
    for replay in (Replay(4, LAYOUT, 0), prioritised()):
        with pytest.raises(InvalidData, match="empty"):
            replay.sample(np.empty((1, WIDTH), np.float32))


def test_uniform_drawing_takes_all_alike() -> None:
    replay = Replay(20, LAYOUT, 5)
    replay.add(rows(30))
    counts = np.bincount(drawn(replay, 40_000).astype(int), minlength=30)
    assert counts[:10].sum() == 0
    expected = 40_000 / 20
    assert ((counts[10:] - expected) ** 2 / expected).sum() < 43.8  # chi-squared, 19 degrees of freedom, p = 0.001


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
def test_drawing_follows_the_power_of_the_errors(alpha: float) -> None:
    replay = prioritised(16, alpha=alpha)
    replay.add(rows(16))
    everything = np.empty((400, WIDTH), np.float32)
    errors = np.arange(1, 17, dtype=np.float32)
    for _ in range(5):
        found = replay.sample(everything)
        replay.revise(found, errors[found.places])
    counts = np.bincount(drawn(replay, 40_000).astype(int), minlength=16)
    share = errors**alpha / (errors**alpha).sum()
    # One draw from each of 40,000 equal shares: each row's count is within 2 of its expectation.
    assert np.abs(counts - 40_000 * share).max() <= 2


def test_small_batches_follow_the_priorities_too() -> None:
    replay = prioritised(4)
    replay.add(rows(4))
    out = np.empty((40, WIDTH), np.float32)
    found = replay.sample(out)
    replay.revise(found, np.array([1, 2, 3, 10], np.float32)[found.places])
    numbers = np.concatenate([drawn(replay, 3) for _ in range(4000)]).astype(int)
    expected = 12_000 * np.array([1, 2, 3, 10]) / 16
    assert ((np.bincount(numbers) - expected) ** 2 / expected).sum() < 16.3  # 3 degrees of freedom, p = 0.001


def test_weights_take_the_bias_out_as_beta_says() -> None:
    replay = prioritised(4, beta=0.4)
    replay.add(rows(4))
    out = np.empty((64, WIDTH), np.float32)
    found = replay.sample(out)
    priorities = np.array([1, 1, 2, 4], np.float32)
    replay.revise(found, priorities[found.places])
    for progress, beta in ((0.0, 0.4), (0.5, 0.7), (1.0, 1.0)):
        replay.progress = progress
        found = replay.sample(out)
        expected = (4 * priorities / 8) ** -beta
        np.testing.assert_allclose(found.weights, (expected / expected.max())[found.places], rtol=1e-4)


def test_new_rows_have_the_highest_priority_so_far() -> None:
    replay = prioritised(8)
    replay.add(rows(4))
    out = np.empty((64, WIDTH), np.float32)
    found = replay.sample(out)
    replay.revise(found, np.array([1, 1, 1, 9], np.float32)[found.places])
    replay.add(rows(1, 4))
    counts = np.bincount(drawn(replay, 21_000).astype(int), minlength=5)
    assert np.abs(counts - 1000 * np.array([1, 1, 1, 9, 9])).max() <= 2


def test_priorities_go_with_their_rows_round_the_ring_and_through_growth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST", 2)
    replay = prioritised(6)
    for number in range(9):
        replay.add(rows(1, number))
        found = replay.sample(np.empty((32, WIDTH), np.float32))
        replay.revise(found, 1 + replay.rows[found.places, 0])
    held = np.arange(3, 9)
    counts = np.bincount(drawn(replay, 39_000).astype(int), minlength=9)
    assert counts[:3].sum() == 0
    assert np.abs(counts[3:] - 1000 * (held + 1)).max() <= 2


@pytest.mark.parametrize("make", [lambda: Replay(6, LAYOUT, 3), lambda: prioritised(6, seed=3)])
def test_a_restored_buffer_goes_on_to_the_bit(make: Any) -> None:
    out, again = np.empty((16, WIDTH), np.float32), np.empty((16, WIDTH), np.float32)
    replay = make()
    replay.add(rows(9))
    replay.revise(replay.sample(out), np.arange(16, dtype=np.float32))
    arrays, told = replay.state()
    arrays = {name: array.copy() for name, array in arrays.items()}
    other = make()
    other.restore(arrays, told)
    assert other.digest() == replay.digest()
    for one in (replay, other):
        one.add(rows(2, 20))
    assert other.digest() == replay.digest()
    for _ in range(3):
        first, second = replay.sample(out), other.sample(again)
        assert out.tobytes() == again.tobytes()
        assert np.array_equal(first.places, second.places)
        assert first.weights is None or np.array_equal(first.weights, second.weights)


def test_digest_tells_buffers_apart() -> None:
    def digest(numbers: Float32, capacity: int = 4) -> str:
        replay = Replay(capacity, LAYOUT, 0)
        replay.add(numbers)
        return replay.digest()

    found = {digest(rows(3)), digest(rows(4)), digest(rows(8)), digest(rows(3, 1)), digest(rows(3)[::-1])}
    assert len(found) == 5
    assert digest(rows(3)) == digest(rows(3), capacity=100)


def test_refuses_a_state_that_does_not_fit() -> None:
    replay = prioritised(4)
    replay.add(rows(6))
    arrays, told = replay.state()
    for wrong in (
        {**arrays, "rows": arrays["rows"][:3]},
        {**arrays, "rows": arrays["rows"].astype(np.float64)},
        {**arrays, "priorities": arrays["priorities"][:3]},
        {**arrays, "priorities": -arrays["priorities"]},
    ):
        with pytest.raises(InvalidData):
            prioritised(4).restore(wrong, told)


def test_the_configuration_says_which_buffer() -> None:
    assert type(replay_of(RLConfiguration(buffer_size=9), LAYOUT)) is Replay
    chosen = replay_of(RLConfiguration(buffer_size=9, prioritized=True, priority_alpha=0.2, priority_beta=0.9), LAYOUT)
    assert isinstance(chosen, PrioritizedReplay)
    assert (chosen.capacity, chosen.alpha, chosen.beta) == (9, 0.2, 0.9)


@settings(max_examples=40, deadline=None)
@given(
    size=st.integers(1, 33),
    sets=st.lists(st.tuples(st.integers(0, 32), st.floats(0.001, 1e6)), min_size=1, max_size=40),
    grown=st.integers(1, 70),
)
def test_sum_tree_is_a_list_with_a_running_sum(size: int, sets: list[tuple[int, float]], grown: int) -> None:
    tree, plain = SumTree(size), np.zeros(max(size, grown))
    for place, weight in sets:
        tree.set(np.array([place % size]), weight)
        plain[place % size] = weight
    tree.grow(grown)
    assert tree.total == pytest.approx(plain.sum())
    assert tree.leaves(size).tolist() == plain[:size].tolist()
    at = np.linspace(0, plain.sum(), 50, endpoint=False)
    ends = np.cumsum(plain)
    inside = np.abs(at[:, None] - ends).min(axis=1) > 1e-9 * ends[-1]  # on an end, rounding may choose either side
    assert tree.find(at[inside]).tolist() == np.searchsorted(ends, at[inside], side="right").tolist()
