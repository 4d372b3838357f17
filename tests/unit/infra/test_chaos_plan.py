"""The faults of a run are a pure function of its seed."""

from __future__ import annotations

from collections import Counter

import pytest

from infra.chaos.market import ACCOUNTS, PARTITIONS, market_of, strategies
from infra.chaos.plan import BROKER_KINDS, KINDS, plan_of
from infra.chaos.rounds import fault_round
from infra.chaos.supervisor import names
from streams.broker import partition_of
from streams.errors import ConfigError


def test_the_plan_is_the_same_for_a_seed_and_another_for_another() -> None:
    assert plan_of(7, 12, 150) == plan_of(7, 12, 150)
    assert len({plan_of(seed, 12, 150) for seed in range(20)}) == 20


@pytest.mark.parametrize("seed", range(20))
def test_every_kind_occurs_among_ten_faults(seed: int) -> None:
    assert {fault.kind for fault in plan_of(seed, 10, 60)} == set(KINDS)


@pytest.mark.parametrize("seed", range(20))
def test_faults_are_spread_over_the_run_and_some_strike_together(seed: int) -> None:
    dues = [fault.due for fault in plan_of(seed, 100, 2500)]
    assert dues == sorted(dues)
    assert 0 < dues[0] < 250
    assert 2000 < dues[-1] < 2400
    assert 0.15 < 1 - len(set(dues)) / len(dues) < 0.55


def test_a_hundred_faults_hit_every_process_and_each_kind_equally_often() -> None:
    plan = plan_of(7, 100, 2500)
    counts = Counter(fault.kind for fault in plan)
    assert set(counts.values()) <= {16, 17}
    hit = {fault.target for fault in plan if fault.kind not in (*BROKER_KINDS, "kill_redis")}
    assert hit <= set(names())
    assert len(hit) > 10
    away = [fault.away_s for fault in plan if fault.kind == "pause"]
    assert min(away) >= 8, "a pause is longer than the session timeout of 6 s"


def test_no_faults_no_plan_and_nonsense_is_refused() -> None:
    assert plan_of(7, 0, 150) == ()
    with pytest.raises(ConfigError, match="faults -1"):
        plan_of(7, -1, 150)


def test_the_market_is_the_same_for_a_seed_and_says_that_it_is_synthetic() -> None:
    market = market_of(7, 30, 20)
    assert market == market_of(7, 30, 20)
    assert market != market_of(8, 30, 20)
    assert [len(rows) for rows in market.slices] == [20] * 30
    assert all(bar.synthetic and bar.source == "synthetic:seed=7" for rows in market.slices for bar in rows)
    assert list(market.times) == sorted(set(market.times))


def test_accounts_and_commands_fall_on_every_partition() -> None:
    market = market_of(7, 1, 50)
    assert [len(strategy.symbols) for strategy in strategies(market).values()] == [12] * ACCOUNTS
    assert {partition_of(account, PARTITIONS) for account in strategies(market)} == set(range(PARTITIONS))
    commands = fault_round(7, 3)
    assert {partition_of(command.workflow_id, PARTITIONS) for command in commands} == set(range(PARTITIONS))
    assert commands == fault_round(7, 3)
    assert not {command.workflow_id for command in commands} & {each.workflow_id for each in fault_round(7, 4)}
