"""The input of a run: synthetic bars slice by slice, and the strategies that trade them, all by a seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agents.data.synthetic import Walk, synthetic_instruments, synthetic_ticks
from agents.data.ticks import unpack_ticks
from orchestrator.strategy import TradingStrategy
from schemas import Bar, Instrument
from streams.broker import partition_of
from streams.errors import ConfigError
from streams.record import rfc3339

PARTITIONS = 4
"""Of accounts, of instruments and of workflows: with two processes of each pool, each owns two tasks."""
ACCOUNTS = PARTITIONS
CASH = 100_000.0
_SIZES = (0.45, 0.2, 0.08, 0.03)
"""Of a position, as a share of each account's equity: the largest is soon refused what it cannot pay, and halted by its
kill switch at a loss of 20 %; the smallest trades to the end of a long run."""
_START_NS = 1_704_205_800_000_000_000
"""2024-01-02 14:30 UTC."""
_MINUTE_NS = 60_000_000_000
_TRADES = 4
"""In each bar."""
_WALK = Walk(volatility=4e-4, noise=2e-3, max_lots=20_000)


@dataclass(frozen=True)
class Market:
    """Slices of bars, one bar of each instrument in each."""

    seed: int
    instruments: tuple[Instrument, ...]
    slices: tuple[tuple[Bar, ...], ...]

    @property
    def symbols(self) -> tuple[str, ...]:
        """Return the instruments' symbols."""
        return tuple(each.instrument_id.rpartition(".")[0] for each in self.instruments)

    @property
    def source(self) -> str:
        """Name where the data comes from."""
        return f"synthetic:seed={self.seed}"

    @property
    def times(self) -> tuple[int, ...]:
        """Return the time of each slice, ns UTC."""
        return tuple(rows[0].ts_event for rows in self.slices)


def market_of(seed: int, slices: int, instruments: int) -> Market:
    """Return so many slices of one-minute bars, one of each instrument."""
    if slices < 1 or instruments < 2 * ACCOUNTS:
        raise ConfigError(f"{slices} slices of {instruments} bars, expected at least 1 of {2 * ACCOUNTS}")
    symbols = tuple(f"SYN{number:02d}" for number in range(instruments))
    known = synthetic_instruments(symbols, _WALK)
    blocks = synthetic_ticks(symbols, slices * _TRADES, seed=seed, start_ns=_START_NS, walk=_WALK)
    prices: dict[str, list[float]] = {each.instrument_id: [] for each in known}
    sizes: dict[str, list[float]] = {each.instrument_id: [] for each in known}
    for block in blocks:
        ticks = unpack_ticks(block)
        prices[block.instrument_id] += ticks.price.tolist()
        sizes[block.instrument_id] += ticks.size.tolist()
    bars = [list(_bars(name, prices[name], sizes[name], seed)) for name in prices]
    return Market(seed, known, tuple(zip(*bars, strict=True)))


def _bars(instrument_id: str, prices: Sequence[float], sizes: Sequence[float], seed: int) -> Iterator[Bar]:
    for number in range(len(prices) // _TRADES):
        rows = slice(number * _TRADES, (number + 1) * _TRADES)
        close_ns = _START_NS + (number + 1) * _MINUTE_NS
        yield Bar(
            instrument_id=instrument_id,
            interval="1m",
            ts_open=close_ns - _MINUTE_NS,
            ts_event=close_ns,
            session_date=rfc3339(close_ns)[:10],
            open=prices[rows][0],
            high=max(prices[rows]),
            low=min(prices[rows]),
            close=prices[rows][-1],
            volume=sum(sizes[rows]),
            adjustment="raw",
            source=f"synthetic:seed={seed}",
            synthetic=True,
        )


def strategies(market: Market) -> dict[str, TradingStrategy]:
    """Return strategies that set targets at every bar, by the account that each trades, one on each partition."""
    share = len(market.symbols) // ACCOUNTS
    shares = [market.symbols[number * share : (number + 1) * share] for number in range(ACCOUNTS)]
    return {named("chaos-account", number): _strategy(number, symbols) for number, symbols in enumerate(shares)}


def _strategy(number: int, symbols: Sequence[str]) -> TradingStrategy:
    return TradingStrategy(
        strategy_id=f"chaos-{number}",
        name=f"The strongest two of {len(symbols)}, group {number}",
        symbols=list(symbols),
        lookback_period=3 + number,
        rebalance_frequency="bar",
        parameters={"top": 2, "momentum_threshold": 0.0, "position_size": _SIZES[number]},
    )


def named(stem: str, partition: int) -> str:
    """Return a name that begins so and falls on a partition."""
    names = (f"{stem}-{partition}-{number}" for number in range(10_000))
    return next(name for name in names if partition_of(name, PARTITIONS) == partition)
