"""The replay against the hand-written loops, to the cent; `python -m tests.accuracy` runs the workloads whole."""

from __future__ import annotations

import pytest

from agents.execution.venue import FillAt
from tests.accuracy import loops, pools, replays
from tests.accuracy.workloads import Bars, daily_bars, minute_bars, trade_ticks

FILLS: list[FillAt] = ["next_open", "next_close", "same_close"]


@pytest.fixture(scope="module")
def minutes() -> Bars:
    return minute_bars().first(5_000)


def test_loops_give_the_known_figures_for_the_whole_workloads() -> None:
    a, b = minute_bars(), daily_bars()
    orders, equity = loops.sma_cross(a.open / 100, a.close / 100, cash=1e8)
    assert (orders, round(equity, 2)) == (22_487, 97_730_071.26)
    orders, equity = loops.top_returns(b.open / 100, b.close / 100, cash=1e8)
    assert (orders, round(equity, 2)) == (50_928, 306_613_724.79)
    orders, equity = loops.sma_cross(a.open / 100, a.close / 100, cash=1e8, fill="same_close")
    assert (orders, round(equity, 2)) == (22_487, 97_731_666.35)
    orders, equity = loops.top_returns(b.open / 100, b.close / 100, cash=1e8, fill="same_close", last_day=True)
    assert (orders, round(equity, 2)) == (50_951, 304_510_307.55)


@pytest.mark.parametrize("fill", FILLS)
async def test_one_symbol_on_minute_bars(minutes: Bars, fill: FillAt) -> None:
    backtest = await replays.run(pools.sma_cross(), replays.minute_slices(minutes), ["S000"], replays.CASH_A, fill)
    orders, equity = loops.sma_cross(minutes.open / 100, minutes.close / 100, cash=replays.CASH_A, fill=fill)
    assert orders > 100
    assert (len(backtest.fills), len(backtest.denials)) == (orders, 0)
    assert backtest.final_equity == pytest.approx(equity, abs=0.005)


@pytest.mark.parametrize("fill", FILLS)
async def test_rotation_among_a_hundred_symbols(fill: FillAt) -> None:
    bars, symbols = daily_bars().first(160), replays.names(100)
    backtest = await replays.run(pools.top_returns(160), replays.daily_slices(bars), symbols, replays.CASH_B, fill)
    orders, equity = loops.top_returns(bars.open / 100, bars.close / 100, cash=replays.CASH_B, fill=fill)
    assert orders > 500
    assert (len(backtest.fills), len(backtest.denials)) == (orders, 0)
    assert backtest.final_equity == pytest.approx(equity, abs=0.005)


async def test_what_fills_at_the_last_close_is_in_the_final_equity() -> None:
    bars, symbols = daily_bars().first(160), replays.names(100)
    slices = replays.daily_slices(bars)
    backtest = await replays.run(pools.top_returns(161), slices, symbols, replays.CASH_B, "same_close")
    prices = {"cash": replays.CASH_B, "fill": "same_close"}
    orders, equity = loops.top_returns(bars.open / 100, bars.close / 100, last_day=True, **prices)
    without, before = loops.top_returns(bars.open / 100, bars.close / 100, **prices)
    assert orders > without
    assert len(backtest.fills) == orders
    assert backtest.final_equity == pytest.approx(equity, abs=0.005)
    assert backtest.final_equity < before - 1, "commission was paid"
    assert len(backtest.equity) == len(backtest.times) == backtest.slices == 160


async def test_ticks_fill_at_the_symbols_next_tick() -> None:
    ticks = trade_ticks().first(10_000)
    backtest = await replays.run(
        pools.ema_cross(), replays.tick_slices(ticks), replays.names(10), replays.CASH_C, "next_tick"
    )
    prices = (ticks.price / 100).tolist()
    orders, equity = loops.ema_cross(ticks.symbol.tolist(), prices, cash=replays.CASH_C)
    assert orders > 30
    assert (len(backtest.fills), len(backtest.denials)) == (orders, 0)
    assert backtest.final_equity == pytest.approx(equity, abs=0.005)


async def test_the_tick_that_fills_an_order_is_evaluated_with_the_new_position() -> None:
    ticks = trade_ticks(count=100_000)
    rows = (ticks.symbol == 0).nonzero()[0][:4_000]
    one = type(ticks)(**{name: column[rows] for name, column in vars(ticks).items()})
    backtest = await replays.run(
        pools.ema_cross(fast=1, slow=2), replays.tick_slices(one), replays.names(1), replays.CASH_C, "next_tick"
    )
    filled = {fill.ts_event for fill in backtest.fills}
    decided = [order.ts_event for order in backtest.orders]
    both = filled.intersection(decided)
    assert len(both) > 200
    held = 0.0
    for fill in backtest.fills:
        held += fill.quantity if fill.side == "BUY" else -fill.quantity
        assert held in (0.0, 100.0)
