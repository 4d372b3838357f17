"""The workloads through the pools that trade live, by the one-process replay."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from agents.execution.venue import FillAt
from agents.pool import AgentPool
from orchestrator.backtest import Backtest, BacktestPlan, run_backtest
from orchestrator.settings import Settings
from orchestrator.strategy import TradingStrategy
from orchestrator.wiring import pools_of
from schemas import Bar, Instrument, TickBlock
from tests.accuracy.workloads import MINUTE_NS, Bars, Ticks

NO_LIMITS = {"max_order_notional": 1e15, "max_position_weight": 1e6, "max_gross_exposure": 1e6, "max_daily_loss": 1.0}
FREE_BUT_COMMISSION = {"half_spread_bps": 0.0, "impact_coefficient": 0.0, "max_participation": 1.0}
"""The rules know a commission of 10 bps, the default, and neither spread nor impact."""
CASH_A, CASH_B, CASH_C, CASH_GOOG = 1e8, 1e8, 1e7, 1e7
_HOUR_NS = 60 * MINUTE_NS


async def run(
    pool: AgentPool, rows: Iterator[Sequence[Bar | TickBlock]], symbols: Sequence[str], cash: float, fill: FillAt
) -> Backtest:
    """Backtest a pool of one's own with no costs but commission and with limits out of the way."""
    settings = Settings.from_dict({"costs": FREE_BUT_COMMISSION, "risk": {"cash_buffer": 0.0}})
    parameters: dict[str, Any] = {"limits": NO_LIMITS, "max_gross": 2.0, "rebalance_band": 0.0}
    strategy = TradingStrategy(
        strategy_id="accuracy", name="accuracy", symbols=list(symbols), rebalance_frequency="bar", parameters=parameters
    )
    plan = BacktestPlan(
        strategy=strategy,
        instruments=tuple(map(instrument, symbols)),
        settings=settings,
        source="made",
        initial_cash=cash,
        fill=fill,
        alpha_pool=pool.name,
    )
    return await run_backtest(plan, _following(rows), [*pools_of(settings, fill), pool])


def instrument(symbol: str) -> Instrument:
    """Return an instrument that trades in cents and single units around the clock."""
    return Instrument(
        instrument_id=f"{symbol}.XMADE",
        symbol=symbol,
        venue="XMADE",
        currency="USD",
        tick_size=0.01,
        lot_size=1.0,
        calendar="24/7",
    )


def names(count: int) -> list[str]:
    """Return symbols whose order by name is that of their columns."""
    return [f"S{number:03d}" for number in range(count)]


def minute_slices(bars: Bars) -> Iterator[list[Bar]]:
    """Yield workload a, a bar a slice."""
    for part in _parts(len(bars.ts)):
        columns = (bars.open, bars.high, bars.low, bars.close)
        prices = zip(*((column[part] / 100).tolist() for column in columns), strict=True)
        for ts, ohlc, volume in zip(bars.ts[part].tolist(), prices, bars.volume[part].tolist(), strict=True):
            yield [_bar("S000", "1m", (ts, ts + MINUTE_NS), ohlc, volume)]


def session_slices(bars: Bars) -> Iterator[list[Bar]]:
    """Yield daily bars of one symbol, a session a slice."""
    one = Bars(bars.ts, *(getattr(bars, name)[:, None] for name in ("open", "high", "low", "close", "volume")))
    return daily_slices(one)


def daily_slices(bars: Bars) -> Iterator[list[Bar]]:
    """Yield workload b, a day a slice: sessions from 14:00 to 21:00 UTC."""
    symbols = names(bars.close.shape[1])
    for day, ts in enumerate(bars.ts.tolist()):
        columns = [column[day] / 100 for column in (bars.open, bars.high, bars.low, bars.close)]
        prices = zip(*(column.tolist() for column in columns), strict=True)
        rows = zip(symbols, prices, bars.volume[day].tolist(), strict=True)
        yield [_bar(s, "1d", (ts + 14 * _HOUR_NS, ts + 21 * _HOUR_NS), ohlc, volume) for s, ohlc, volume in rows]


def tick_slices(ticks: Ticks) -> Iterator[list[TickBlock]]:
    """Yield workload c, a tick a slice."""
    for part in _parts(len(ticks.ts)):
        columns = (ticks.ts, ticks.symbol, ticks.price, ticks.size, ticks.side)
        rows = zip(*(column[part].tolist() for column in columns), strict=True)
        for number, (ts, symbol, price, size, side) in enumerate(rows, part.start):
            yield [
                TickBlock(
                    instrument_id=f"S{symbol:03d}.XMADE",
                    source="made",
                    synthetic=True,
                    base_ts=ts,
                    seq0=number,
                    dt_ns=[0.0],
                    price=[price / 100],
                    size=[float(size)],
                    side=[side + 1],
                )
            ]


def _parts(count: int) -> Iterator[slice]:
    """Cut rows, so that few of them are Python objects at any time."""
    return (slice(start, min(count, start + 10_000)) for start in range(0, count, 10_000))


def _bar(
    symbol: str, interval: str, times: tuple[int, int], ohlc: tuple[float, float, float, float], volume: float
) -> Bar:
    opened, high, low, close = ohlc
    return Bar(
        instrument_id=f"{symbol}.XMADE",
        interval=interval,
        ts_open=times[0],
        ts_event=times[1],
        session_date=dt.datetime.fromtimestamp(times[0] // 10**9, dt.UTC).date().isoformat(),
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=volume,
        adjustment="raw",
        source="made",
        synthetic=True,
    )


async def _following(rows: Iterator[Sequence[Bar | TickBlock]]) -> AsyncIterator[Sequence[Bar | TickBlock]]:
    for each in rows:
        yield each
