"""Studies: what a report shows derives from runs of the replay."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from agents.data.feed import Row
from orchestrator.backtest import Backtest, BacktestPlan, following, run_backtest
from orchestrator.chain import chain
from orchestrator.decision_log import Log
from orchestrator.recording import Recording
from orchestrator.settings import Settings, load
from orchestrator.strategy import TradingStrategy
from orchestrator.study import MULTIPLES, Study, intervals_of, study
from orchestrator.trace import row_ids, row_link
from orchestrator.wiring import pools_of
from schemas import OrderDenied, OrderFilled, PositionsUpdated
from streams.record import Event
from tests.dataplane import sample

INSTRUMENTS, SLICES = sample(["AAPL", "IBM", "MSFT"], "2012-01-03", "2012-07-31")


def strategy(**parameters: object) -> TradingStrategy:
    own = {"momentum_threshold": 0.0, "top": 2, "position_size": 0.48, **parameters}
    symbols = ["AAPL", "IBM", "MSFT"]
    return TradingStrategy("s", "Two", symbols=symbols, lookback_period=5, rebalance_frequency="bar", parameters=own)


def plan(settings: Settings | None = None, **parameters: object) -> BacktestPlan:
    settings = settings or load(overrides={"log_level": "WARNING"}, environ={})
    return BacktestPlan(strategy(**parameters), INSTRUMENTS, settings, "sample", 100_000.0)


def replayed(planned: BacktestPlan, recording: Recording | None = None) -> Backtest:
    pools = pools_of(planned.settings, planned.fill)
    return asyncio.run(run_backtest(planned, following(SLICES), pools, recording))


def studied(planned: BacktestPlan) -> Study:
    return asyncio.run(
        study(planned, lambda: following(SLICES), lambda each: pools_of(each.settings, each.fill), seed=5)
    )


@pytest.fixture(scope="module")
def found() -> Study:
    return studied(plan())


class Everything:
    """Listens and forgets nothing."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.all_rows: list[Row] = []

    def rows(self, rows: Sequence[Row]) -> None:
        self.all_rows += rows

    def event(self, event: Event) -> None:
        self.events.append(event)

    def finished(self, state: PositionsUpdated) -> None:
        self.last = state


def test_cash_and_positions_at_mark_are_equity(found: Study) -> None:
    course = found.course
    total = course.cash + sum(course.values.values())
    np.testing.assert_allclose(total, course.equity, rtol=1e-12)
    np.testing.assert_allclose(course.net() + course.cash / course.equity, 1, rtol=1e-12)
    assert course.equity[-1] == found.comparison.own.final_equity
    assert len(course.times) == len(SLICES)


def test_the_course_is_what_the_ledger_said(found: Study) -> None:
    heard = Everything()
    planned = plan()
    asyncio.run(run_backtest(planned, following(SLICES), pools_of(planned.settings), heard))
    states = [event.message for event in heard.events if isinstance(event.message, PositionsUpdated)]
    held = next(at for at, state in enumerate(states) if len(state.positions) == 2)
    state = states[held]
    for position in state.positions:
        value = found.course.values[position.instrument_id][held]
        assert value == position.quantity * position.mark
        assert found.course.weights()[position.instrument_id][held] == value / state.equity
    gross = sum(abs(each.quantity) * each.mark for each in state.positions) / state.equity
    assert found.course.gross()[held] == pytest.approx(gross)


def test_listening_does_not_change_the_run() -> None:
    planned = plan()
    plain, recorded = replayed(planned), replayed(planned, Recording(planned.run()))
    assert plain.result() == recorded.result()


def test_chains_are_what_the_whole_log_tells(found: Study) -> None:
    heard = Everything()
    planned = plan()
    asyncio.run(run_backtest(planned, following(SLICES), pools_of(planned.settings), heard))
    log = Log(heard.events)
    rows = {name: row_link(name, data, at) for row in heard.all_rows for name, data, at in row_ids(row)}
    decided = [e.message for e in heard.events if isinstance(e.message, OrderFilled | OrderDenied)]
    assert {type(each) for each in decided} == {OrderFilled, OrderDenied}
    for message in decided:
        name = message.fill_id if isinstance(message, OrderFilled) else message.proposal_id
        told = [(each.role, each.says, each.message_id, each.depth, each.ts) for each in chain(log, name, rows)]
        kept = [(each.role, each.says, each.message_id, each.depth, each.ts) for each in found.chains[name]]
        assert kept == told
        assert kept[-1][0] == "market data"
        assert "no longer on the log" not in {says for _, says, *_ in kept}


def test_only_the_last_chains_are_kept(found: Study) -> None:
    planned = plan()
    recording = Recording(planned.run(), kept=5)
    done = replayed(planned, recording)
    chains = recording.chains()
    fills = [fill.fill_id for fill in done.fills if fill.fill_id in chains]
    denials = [denial.proposal_id for denial in done.denials if denial.proposal_id in chains]
    assert fills == [fill.fill_id for fill in done.fills[-len(fills) :]]
    assert 5 <= len(fills) < len(done.fills)
    assert len(denials) == min(5, len(done.denials))
    assert all(chains[name] == found.chains[name] for name in (*fills, *denials))


@pytest.mark.parametrize("multiple", MULTIPLES)
def test_a_cost_multiple_is_the_run_with_those_rates(found: Study, multiple: float) -> None:
    rates = {
        "sandbox": {"commission_rate": 0.001 * multiple},
        "costs": {"half_spread_bps": 1.0 * multiple, "impact_coefficient": 0.1 * multiple},
    }
    expected = replayed(plan(load(overrides={"log_level": "WARNING", **rates}, environ={})))
    case = next(each for each in found.comparison.costs if each.multiple == multiple)
    assert case.levels.values.tolist() == list(expected.equity)
    assert case.commission == sum(fill.commission for fill in expected.fills)
    assert case.impact == sum(fill.impact_cost for fill in expected.fills)


def test_costs_eat_the_result(found: Study) -> None:
    ends = [case.levels.values[-1] for case in found.comparison.costs]
    assert ends[0] > ends[1] > ends[2]


def test_benchmarks_are_runs_of_their_models_at_the_same_costs(found: Study) -> None:
    held, weighed = found.comparison.benchmarks
    assert [held.name, weighed.name] == ["Buy and hold", "Equal weight"]
    # Bought on the second bar's open with 0.32 of equity each, whole lots, and never sold.
    first = {bar.instrument_id: bar.close for bar in SLICES[0]}
    last = {bar.instrument_id: bar.close for bar in SLICES[-1]}
    opens = {bar.instrument_id: bar.open for bar in SLICES[1]}
    lots = {name: int(32_000 / price) for name, price in first.items()}
    grown = 100_000 + sum(lots[name] * (last[name] - opens[name] * 1.0011) for name in lots)
    assert held.levels.values[-1] == pytest.approx(grown, rel=2e-4)
    assert weighed.levels.values[-1] != held.levels.values[-1]


def test_a_do_nothing_strategy_is_flat_and_has_no_chains() -> None:
    idle = studied(plan(momentum_threshold=9.0))
    assert set(idle.course.equity) == {100_000.0}
    assert not idle.chains
    assert not idle.course.values
    assert {case.levels.values[-1] for case in idle.comparison.costs} == {100_000.0}
    assert idle.intervals.of[0].bounds == (0.0, 0.0)


def test_intervals_hold_the_estimate_and_depend_on_the_seed_alone(found: Study) -> None:
    again = intervals_of(found.course.levels, 100_000.0, 5)
    assert again == found.intervals
    assert intervals_of(found.course.levels, 100_000.0, 6) != again
    for each in again.of:
        assert each.value == pytest.approx(found.figures[each.name], rel=1e-9), each.name
        assert each.bounds is not None
        assert each.bounds[0] < each.bounds[1]
    assert again.period == "day"
    assert again.observations == len(SLICES)
