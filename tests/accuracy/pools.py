"""Alpha pools that follow the rules of the workloads."""

from __future__ import annotations

from collections import defaultdict

from pydantic import Field

from agents.context import Run, Slice
from agents.pool import AgentPool
from schemas import Bar, Signal, TickBlock
from streams.state import State


class Window(State):
    """What the SMA cross remembers of a run."""

    closes: list[float] = Field(default_factory=list)
    """No more than the slow average needs, oldest first."""
    target: float = 0.0
    """Units asked for last."""


class History(State):
    """What the ranking remembers of a run."""

    closes: dict[str, list[float]] = Field(default_factory=dict)
    """By instrument_id, oldest first."""


class Cross(State):
    """Both averages of one instrument."""

    fast: float = 0.0
    slow: float = 0.0
    seen: int = 0
    target: float = 0.0
    """Units asked for last."""


class Crosses(State):
    """What the EMA cross remembers of a run."""

    by_instrument: dict[str, Cross] = Field(default_factory=lambda: defaultdict(Cross))


def sma_cross(fast: int = 20, slow: int = 50, units: float = 1_000.0) -> AgentPool:
    """Hold units while the mean of the last fast closes lies above that of the last slow ones, else nothing."""
    pool = AgentPool("sma", role="alpha")

    @pool.on
    def decide(bar: Bar, run: Run, window: Window) -> Signal | None:
        """Ask for another size where the averages cross."""
        closes = window.closes
        closes.append(bar.close)
        if len(closes) < slow:
            return None
        target = units if sum(closes[-fast:]) / fast > sum(closes) / slow else 0.0
        del closes[0]
        if target == window.target:
            return None
        window.target = target
        return _ask(run, bar.instrument_id, bar.close, target_quantity=target)

    return pool


def top_returns(days: int, lookback: int = 126, top: int = 20, weight: float = 0.0475) -> AgentPool:
    """Hold weight in each of the top returns over the lookback, nothing else; days: of the run, the last is left out.

    Equal returns rank by the order of the run's instruments.
    """
    pool = AgentPool("top", role="alpha")

    @pool.on
    def decide(slice_: Slice, run: Run, history: History) -> list[Signal]:
        """Ask for today's weights."""
        for _, bar in slice_.of(Bar):
            history.closes.setdefault(bar.instrument_id, []).append(bar.close)
        closes = history.closes
        seen = len(closes[run.instrument_ids[0]])
        if seen <= lookback or seen == days:
            return []
        growth = {name: closes[name][-1] / closes[name][-1 - lookback] for name in run.instrument_ids}
        best = set(sorted(growth, key=lambda name: -growth[name])[:top])
        return [
            _ask(run, name, closes[name][-1], target_weight=weight if name in best else 0.0)
            for name in run.instrument_ids
        ]

    return pool


def ema_cross(fast: int = 50, slow: int = 200, units: float = 100.0) -> AgentPool:
    """Hold units while the fast average of prices lies above the slow one, from an instrument's slow-th tick on."""
    pool, a, b = AgentPool("ema", role="alpha"), 2 / (fast + 1), 2 / (slow + 1)

    @pool.on
    def decide(block: TickBlock, run: Run, crosses: Crosses) -> Signal | None:
        """Ask for another size where the averages cross; a block holds one tick."""
        (price,) = block.price.tolist()
        cross = crosses.by_instrument[block.instrument_id]
        if not cross.seen:
            cross.fast = cross.slow = price
        cross.fast += a * (price - cross.fast)
        cross.slow += b * (price - cross.slow)
        cross.seen += 1
        target = units if cross.fast > cross.slow else 0.0
        if cross.seen < slow or target == cross.target:
            return None
        cross.target = target
        return _ask(run, block.instrument_id, price, target_quantity=target)

    return pool


def _ask(
    run: Run,
    instrument_id: str,
    price: float,
    *,
    target_quantity: float | None = None,
    target_weight: float | None = None,
) -> Signal:
    started = run.started
    return Signal(
        run_id=started.run_id,
        strategy_id=started.strategy_id,
        account_id=started.account_id,
        instrument_id=instrument_id,
        signal="BUY" if target_quantity or target_weight else "SELL",
        score=0.0,
        confidence=1.0,
        target_weight=target_weight,
        target_quantity=target_quantity,
        price=price,
        model=started.strategy_type,
        ts_event=run.ts,
    )
