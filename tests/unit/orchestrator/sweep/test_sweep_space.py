"""Which combinations a sweep tries."""

from __future__ import annotations

import pytest

from orchestrator.sweep.space import combinations, parse_grid, sampled
from streams.errors import ConfigError


def test_values_and_ranges_are_read_with_their_types() -> None:
    grid = parse_grid(["a=1,2.5,x,true", "b=10:30:10", "c=0.1:0.3:0.1"])
    assert grid == {"a": (1, 2.5, "x", True), "b": (10, 20, 30), "c": (0.1, 0.2, 0.3)}


def test_all_combinations_come_with_the_last_parameter_fastest() -> None:
    assert combinations(parse_grid(["a=1,2", "b=x,y"])) == [
        {"a": 1, "b": "x"},
        {"a": 1, "b": "y"},
        {"a": 2, "b": "x"},
        {"a": 2, "b": "y"},
    ]


def test_a_sample_has_no_combination_twice_and_depends_on_the_seed_alone() -> None:
    grid = parse_grid(["a=1:100:1", "b=1:100:1"])
    first, again, other = (sampled(grid, 200, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert len({tuple(each.items()) for each in first}) == 200
    assert all(each in combinations(grid) for each in first[:5])
    assert sampled(parse_grid(["a=1,2"]), 10, 0) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "at least one --grid"),
        (["a"], "expected NAME=VALUE"),
        (["a="], "expected NAME=VALUE"),
        (["=1"], "expected NAME=VALUE"),
        (["a=1", "a=2"], "given twice"),
        (["a=1,1"], "given twice"),
        (["a=1:2"], "FIRST:LAST:STEP"),
        (["a=3:1:1"], "FIRST <= LAST"),
        (["a=1:3:0"], "STEP > 0"),
        (["a=x:3:1"], "numbers"),
        (["a=[1"], "is no value"),
        (["a=.nan"], "is no number"),
        (["a=0:1000000000:1"], "at most"),
        (["a=inf"], "is no number"),
    ],
)
def test_what_is_no_grid_is_refused(texts: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_grid(texts)


def test_too_many_combinations_are_refused_and_a_sample_of_them_is_not() -> None:
    grid = parse_grid(["a=1:1000:1", "b=1:1000:1"])
    with pytest.raises(ConfigError, match=r"1,000,000 combinations.*--random"):
        combinations(grid)
    assert len(sampled(grid, 3, 0)) == 3


def test_a_number_without_a_point_before_its_exponent_is_a_number() -> None:
    assert parse_grid(["a=1e-3,2.5e2", "b=0:1:0.1"]) == {"a": (0.001, 250.0), "b": tuple(n / 10 for n in range(11))}


def test_a_sample_of_more_combinations_than_64_bits_count_is_drawn() -> None:
    grid = parse_grid([f"{name}=1:100000:1" for name in "abcde"])  # 10^25
    assert len(sampled(grid, 5, 0)) == 5
    with pytest.raises(ConfigError, match="at most 100,000 combinations"):
        sampled(grid, 100_001, 0)
