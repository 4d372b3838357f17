"""Running figures of observations."""

from __future__ import annotations

import numpy as np
import pytest

from rl.normaliser import Normaliser
from streams.errors import InvalidData


def test_parts_make_the_whole() -> None:
    rows = (np.random.default_rng(1).standard_normal((1000, 3)) * [1, 50, 0.01] + [1e4, -3, 0]).astype(np.float32)
    parts = Normaliser(3)
    for part in (rows[:1], rows[1:1], rows[1:700], rows[700:]):
        parts.add(part)
    assert parts.count == 1000
    np.testing.assert_allclose(parts.mean, rows.astype(float).mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(parts.std, np.sqrt(rows.astype(float).var(axis=0) + 1e-8), rtol=1e-6)


def test_nothing_seen_changes_nothing_and_far_ones_are_clipped() -> None:
    found = Normaliser(2)
    rows = np.array([[1, -2], [30, -40]], np.float32)
    np.testing.assert_array_equal(found.normalise(rows), [[1, -2], [10, -10]])


def test_what_never_changes_is_nought() -> None:
    found = Normaliser(1)
    found.add(np.full((10, 1), 7, np.float32))
    np.testing.assert_array_equal(found.normalise(np.full((2, 1), 7, np.float32)), [[0], [0]])


def test_who_shares_the_arrays_follows() -> None:
    found = Normaliser(2)
    mean, std = found.mean, found.std
    found.add(np.array([[1, 2], [3, 6]], np.float32))
    np.testing.assert_allclose(mean, [2, 4])
    np.testing.assert_allclose(std, [1, 2])


def test_goes_on_from_its_state_to_the_bit() -> None:
    rows = np.random.default_rng(2).standard_normal((90, 4)).astype(np.float32)
    whole, first, second = Normaliser(4), Normaliser(4), Normaliser(4)
    whole.add(rows[:40])
    first.add(rows[:40])
    second.restore(first.state())
    for one in (whole, second):
        one.add(rows[40:])
    assert whole.count == second.count == 90
    assert whole.mean.tobytes() == second.mean.tobytes()
    assert whole.std.tobytes() == second.std.tobytes()


def test_a_state_of_another_size_is_refused() -> None:
    with pytest.raises(InvalidData, match=r"\(2,\)"):
        Normaliser(3).restore(Normaliser(2).state())
