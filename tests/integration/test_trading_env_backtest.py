"""The trading environment and the project's own backtest: the same weights, the same money, slice by slice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.context import Run, Slice
from agents.data.fetch import FetchParameters, fetch
from agents.data.slicing import bar_slices
from agents.data.sources import SampleProvider
from agents.pool import AgentPool
from agents.transaction_cost.model import CostModel
from orchestrator.backtest import Backtest, BacktestPlan, following, run_backtest
from orchestrator.settings import Settings, load
from orchestrator.strategy import TradingStrategy
from orchestrator.wiring import pools_of
from rl.env import TradingEnv
from rl.market import Market
from rl.panel import Panel
from rl.rules import TradingRules
from schemas import Signal

SYMBOLS = ("AAPL", "IBM", "MSFT")
Fill = Literal["next_open", "next_close"]


def market() -> tuple[Market, Any]:
    fetched = fetch(SampleProvider(), FetchParameters(symbols=SYMBOLS, start="2008-07-01", end="2009-01-30"))
    return Market.of(Panel.of(fetched.blocks)), fetched


def settings_of(rules: TradingRules) -> Settings:
    costs = rules.costs.model_dump()
    overrides = {
        "log_level": "WARNING",
        "sandbox": {"commission_rate": costs.pop("commission_rate")},
        "costs": costs,
        "risk": {
            "cash_buffer": rules.cash_buffer,
            "limits": {
                "max_gross_exposure": 2 * rules.max_gross + 0.1,
                "max_position_weight": 10.0,
                "max_order_notional": 1e12,
                "max_daily_loss": 1.0,
                "allow_short": rules.allow_short,
            },
        },
    }
    return load(overrides=overrides, environ={})


def following_weights(weights: dict[int, NDArray[np.float64]], names: tuple[str, ...]) -> AgentPool:
    """Return a pool that asks for the weights that stand at a slice's time."""
    pool = AgentPool("given", role="alpha")

    @pool.on
    def decide(slice_: Slice, run: Run) -> Iterator[Signal]:
        for name, weight in zip(names, weights.get(slice_.ts, ()), strict=False):
            price = float(slice_.prices[name].values[-1])
            yield run.signal(name, "BUY", price=price, score=0.0, confidence=1.0, target_weight=float(weight))

    return pool


async def backtest(rules: TradingRules, fetched: Any, seen: Market, targets: NDArray[np.float64]) -> Backtest:
    settings = settings_of(rules)
    asked = dict(zip(seen.panel.times[:-1].tolist(), targets, strict=True))
    plan = BacktestPlan(
        strategy=TradingStrategy(
            strategy_id="given",
            name="Given weights",
            symbols=list(SYMBOLS),
            lookback_period=1,
            rebalance_frequency="bar",
            parameters={"max_gross": rules.max_gross, "rebalance_band": 0.0},
        ),
        instruments=fetched.instruments,
        settings=settings,
        source=fetched.provider,
        initial_cash=rules.initial_cash,
        fill=rules.fill,
        alpha_pool="given",
    )
    slices = list(bar_slices([bar for block in fetched.blocks for bar in block.bars()]))
    pools = [*pools_of(settings, rules.fill), following_weights(asked, seen.panel.instrument_ids)]
    return await run_backtest(plan, following(slices), pools)


@pytest.mark.parametrize("fill", ["next_open", "next_close"])
@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize(
    ("costs", "more"),
    [
        (CostModel(commission_rate=0, half_spread_bps=0, impact_coefficient=0), {}),
        (CostModel(), {"initial_cash": 1e6, "gross_cap": 1.0}),
        (CostModel(commission_rate=0.0025, half_spread_bps=5), {"initial_cash": 12_345.67}),
        (CostModel(max_participation=0.01), {"initial_cash": 3e9, "gross_cap": 1.5, "max_gross": 1.5}),
    ],
    ids=["free", "usual", "dear and small", "too large for the volume"],
)
async def test_the_same_weights_give_the_same_equity_after_every_slice(
    fill: Fill, short: bool, costs: CostModel, more: dict[str, float]
) -> None:
    rules = TradingRules(fill=fill, allow_short=short, costs=costs, **more)
    seen, fetched = market()
    env = TradingEnv(seen, rules)
    env.reset(seed=0)
    rng = np.random.default_rng(7)
    steps = len(seen) - 1
    actions = rng.uniform(-1 if short else 0, 1, (steps, len(SYMBOLS))).astype(np.float32)
    actions[rng.random(steps) < 0.1] = 0
    targets = np.stack([rules.targets(action.astype(np.float64)) for action in actions])
    equity, figures = [rules.initial_cash], []
    for action in actions:
        *_, terminated, truncated, info = env.step(action)
        equity.append(info["equity"])
        figures.append(info)
    assert (terminated, truncated) == (False, True)
    done = await backtest(rules, fetched, seen, targets)
    assert done.denials == [], "limits of risk must not bind"
    expected = np.array(done.equity)[np.searchsorted(np.array(done.times), seen.panel.times)]
    assert np.array(equity) == pytest.approx(expected, rel=1e-9, abs=0)
    paid = sum(fill.commission + fill.spread_cost + fill.impact_cost for fill in done.fills)
    assert sum(info["cost"] for info in figures) == pytest.approx(paid, rel=1e-9, abs=1e-9)
    assert len(done.fills) > steps
    assert len(set(equity)) > steps / 2
