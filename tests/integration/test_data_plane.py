"""The data plane over a year of real daily bars, and over generated trades: money, time, and what must not matter."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import pytest

from agents.context import bar_id, tick_id
from agents.data.synthetic import synthetic_instruments, synthetic_ticks
from agents.data.windows import windows
from schemas import (
    Bar,
    OrderDenied,
    OrderFilled,
    OrderProposed,
    PositionsUpdated,
    Signal,
    StrategyStarted,
    SubmitOrder,
    TickBlock,
)
from tests.dataplane import ONE, START, Plane, sample, started

TOPICS = ("signals", "targets", "risk", "orders", "fills", "positions")
INSTRUMENTS, SLICES = sample(["AAPL", "GOOGL", "IBM", "MSFT"], "2012-01-03", "2012-12-31")
DAILY = started(
    "daily",
    INSTRUMENTS,
    lookback_period=10,
    parameters={"momentum_threshold": 0.01, "top": 2, "position_size": 0.48, "rebalance_band": 0.01},
)
SECOND_NS = 10**9


async def traded(
    slices: Sequence[Any] = SLICES, runs: Sequence[StrategyStarted] = (DAILY,), partitions: dict[str, int] = ONE
) -> Plane:
    plane = Plane(partitions=partitions)
    async with plane.running():
        await plane.announce(*runs)
        await plane.publish(slices)
    return plane


@pytest.fixture(scope="module")
def year() -> Plane:
    return asyncio.run(traded())


def same_log(one: Plane, other: Plane, until: int | None = None) -> None:
    """Hold two logs against each other, message by message, whatever partitions they stand on."""
    for name in TOPICS:
        assert messages(one, name, until) == messages(other, name, until), name


def messages(plane: Plane, name: str, until: int | None) -> list[Any]:
    found = [(event.envelope.slice or 0, event.envelope.message_id, event.message) for event in plane.events(name)]
    kept = [each for each in found if until is None or each[0] <= until]
    return sorted(kept, key=lambda each: each[:2])


def by_slice(plane: Plane) -> dict[int, list[OrderFilled]]:
    """Return the fills by the slice in which they happened."""
    found = defaultdict(list)
    for event in plane.events("fills"):
        if isinstance(event.message, OrderFilled):
            found[event.envelope.slice or 0].append(event.message)
    return found


def test_the_year_has_enough_of_everything(year: Plane) -> None:
    counts = {kind.__name__: len(year.of(kind)) for kind in (Signal, OrderProposed, SubmitOrder, OrderFilled)}
    assert counts["Signal"] == 4 * (250 - 10)
    assert counts["OrderFilled"] > 100
    assert {fill.side for fill in year.of(OrderFilled)} == {"BUY", "SELL"}
    assert len(year.of(PositionsUpdated)) == 250
    assert not [record for name in (*TOPICS, "bars") for record in year.records(f"{name}.dlq")]


def test_money_adds_up_at_every_slice(year: Plane) -> None:
    check_money(year, DAILY.initial_cash, SLICES)


def check_money(plane: Plane, deposits: float, slices: Sequence[Sequence[Bar | TickBlock]]) -> None:
    """Recompute cash and equity of the one account from its fills and the prices alone."""
    cash, commission, held, marks = deposits, 0.0, defaultdict(float), {}
    fills, states = by_slice(plane), {state.ts_event: state for state in plane.of(PositionsUpdated)}
    assert set(fills) <= set(states) == {max(row.ts_event for row in rows) for rows in slices}
    for rows in slices:
        for row in rows:
            marks[row.instrument_id] = row.close if isinstance(row, Bar) else float(row.price[-1])
        ts = max(row.ts_event for row in rows)
        for fill in fills[ts]:
            sign = 1 if fill.side == "BUY" else -1
            cash -= sign * fill.quantity * fill.price + fill.commission
            commission += fill.commission
            held[fill.instrument_id] += sign * fill.quantity
        state = states[ts]
        assert state.cash == pytest.approx(cash, abs=1e-6)
        assert state.equity == pytest.approx(cash + sum(n * marks[name] for name, n in held.items()), abs=1e-6)
        assert {p.instrument_id: p.quantity for p in state.positions} == {name: n for name, n in held.items() if n}
        profit = state.realised_pnl + state.unrealised_pnl - state.commission
        assert state.deposits + profit == pytest.approx(state.equity, abs=1e-6)
        assert (state.deposits, state.commission) == (deposits, pytest.approx(commission, abs=1e-6))


def test_orders_fill_on_data_after_their_decision_only(year: Plane) -> None:
    bars = {bar_id(bar): bar for rows in SLICES for bar in rows}
    orders = {order.order_id: order for order in year.of(SubmitOrder)}
    signals = {event.envelope.message_id: event for event in year.events("signals")}
    for fill in year.of(OrderFilled):
        order, matched = orders[fill.order_id], bars[fill.data_id]
        decided_on = bars[signals[order.signal_id].envelope.causation_id]
        assert decided_on.ts_event == order.ts_event
        assert matched.instrument_id == fill.instrument_id == decided_on.instrument_id
        assert matched.ts_open >= order.ts_event
        assert fill.ts_event >= order.ts_event
        assert fill.reference_price == matched.open
        assert fill.commission == pytest.approx(0.001 * fill.quantity * fill.price)


def test_every_order_passed_risk_and_every_proposal_got_an_answer(year: Plane) -> None:
    proposals = {proposal.proposal_id for proposal in year.of(OrderProposed)}
    answered = [order.proposal_id for order in year.of(SubmitOrder)] + [d.proposal_id for d in year.of(OrderDenied)]
    assert sorted(answered) == sorted(proposals)
    assert {event.envelope.source for event in year.events("orders")} == {"risk"}


@pytest.mark.parametrize("days", [12, 101])
async def test_decisions_know_nothing_of_later_data(year: Plane, days: int) -> None:
    cut = await traded(SLICES[:days])
    same_log(cut, year, until=SLICES[days - 1][0].ts_event)


async def test_decisions_do_not_depend_on_how_the_log_is_cut_into_calls(year: Plane) -> None:
    plane = Plane()
    async with plane.running():
        await plane.announce(DAILY)
        for rows in SLICES[:60]:
            await plane.publish([rows])
    same_log(plane, year, until=SLICES[59][0].ts_event)


async def test_two_runs_are_identical(year: Plane) -> None:
    same_log(await traded(), year)


@pytest.mark.parametrize(("accounts", "instruments", "days"), [(3, 2, 120), (2, 8, 60)])
async def test_partitions_change_nothing(year: Plane, accounts: int, instruments: int, days: int) -> None:
    plane = await traded(SLICES[:days], partitions={**ONE, "account": accounts, "instrument": instruments})
    assert plane.of(PositionsUpdated)[-1].equity == year.of(PositionsUpdated)[days - 1].equity
    same_log(plane, year, until=SLICES[days - 1][0].ts_event)


@pytest.mark.parametrize("partitions", [(3, 2)])
async def test_two_strategies_share_an_account(partitions: tuple[int, int]) -> None:
    runs = (
        started("one", INSTRUMENTS[:3], account_id="both", parameters={"position_size": 0.2}),
        started("two", INSTRUMENTS[1:], account_id="both", parameters={"position_size": 0.2, "top": 1}),
        started("alone", INSTRUMENTS[:1], parameters={"position_size": 0.5}, strategy_type="buy_and_hold"),
    )
    plane = await traded(SLICES[:50], runs, {**ONE, "account": partitions[0], "instrument": partitions[1]})
    shared = [fill for fill in plane.of(OrderFilled) if fill.account_id == "both"]
    assert {fill.run_id for fill in shared} == {"one", "two"}
    states = [state for state in plane.of(PositionsUpdated) if state.account_id == "both"]
    cash = 200_000.0
    for fill in shared:
        cash -= (1 if fill.side == "BUY" else -1) * fill.quantity * fill.price + fill.commission
    assert states[-1].deposits == 200_000
    assert states[-1].cash == pytest.approx(cash, abs=1e-6)
    one = await traded(SLICES[:50], runs)
    same_log(plane, one)


async def test_tasks_killed_in_the_middle_leave_no_trace(year: Plane) -> None:
    plane = Plane(partitions={**ONE, "account": 2, "instrument": 2})
    async with plane.running():
        await plane.announce(DAILY)
        assert plane.feed is not None
        for first, pools in ((0, ("execution",)), (40, ("risk",)), (80, ("portfolio", "alpha")), (120, ())):
            await plane.feed.publish(SLICES[first : first + 40])
            busy = first + 10
            await plane.until(lambda ts=SLICES[busy][0].ts_event: plane.accepted(ts))
            await plane.kill(*pools)
        await plane.publish(SLICES)
    same_log(plane, year)


async def test_a_run_that_starts_late_decides_as_if_it_had_been_alone() -> None:
    late = DAILY.model_copy(update={"run_id": "late", "account_id": "a-late"})
    plane, alone = Plane(), Plane()
    async with plane.running():
        await plane.announce(DAILY)
        await plane.publish(SLICES[:30])
        await plane.announce(late)
        await plane.publish(SLICES[30:70])
    async with alone.running():
        await alone.announce(late)
        await alone.publish(SLICES[30:70])
    mine = [each for each in messages(plane, "signals", None) if each[2].account_id == "a-late"]
    assert mine == messages(alone, "signals", None)
    # The venue is one for both runs, so that prices differ by impact; what is ordered first does not.
    first = {plane.ids(name)[0] for name in ("orders", "fills")}
    assert first.isdisjoint({alone.ids(name)[0] for name in ("orders", "fills")})
    assert {alone.ids("orders")[0]} <= set(plane.ids("orders"))


TICKING = synthetic_instruments(["SIMA", "SIMB"])
WINDOWS = list(windows(synthetic_ticks(["SIMA", "SIMB"], 3000, seed=3, start_ns=START), 5 * SECOND_NS))
CROSS = started("ticks", TICKING, strategy_type="ema_cross", parameters={"fast": 20, "slow": 100, "position_size": 0.3})


async def test_trades_go_through_an_ema_cross() -> None:
    plane = await traded(WINDOWS, (CROSS,))
    check_money(plane, CROSS.initial_cash, WINDOWS)
    rows = {}
    for block in (block for window in WINDOWS for block in window):
        rows |= {tick_id(block, row): (block, row) for row in range(len(block))}
    assert len(rows) == 6000
    orders = {order.order_id: order for order in plane.of(SubmitOrder)}
    assert len(plane.of(OrderFilled)) > 10
    for fill in plane.of(OrderFilled):
        block, row = rows[fill.data_id]
        assert fill.ts_event == block.base_ts + int(block.dt_ns[row]) > orders[fill.order_id].ts_event
        assert fill.reference_price == block.price[row]
        assert fill.synthetic
    for event in plane.events("signals"):
        block, row = rows[event.envelope.causation_id]
        assert event.message.price == block.price[row]
        assert block.base_ts + int(block.dt_ns[row]) <= event.message.ts_event
    same_log(await traded(WINDOWS, (CROSS,), {**ONE, "account": 2, "instrument": 3}), plane)


async def test_no_run_means_no_decision() -> None:
    plane = await traded(SLICES[:5], ())
    assert not any(plane.events(name) for name in TOPICS)
