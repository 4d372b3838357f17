"""Stress scenarios: what happens to the market, how much, and where the size is from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from orchestrator.sandbox.panel import Panel
from orchestrator.wording import unknown
from schemas.columns import Float64
from streams.errors import ConfigError

DEFAULT_SENSITIVITY = 4.0
"""Bernanke and Kuttner 2005: a surprise cut of 25 basis points goes with a rise of stock indexes of about 1 %."""


@dataclass(frozen=True)
class Shock:
    """A shock at severity 1; docs/sandbox.md says more."""

    name: str
    title: str
    reason: str
    """What the sizes are taken from."""
    bars: int
    """How long it builds up or lasts."""
    levels: tuple[float, ...] = ()
    """The market's price after each bar, relative to what it would have been, less 1; the last one stays."""
    rate: float = 0.0
    """Rise of interest rates, 0.02 is two percentage points; the market falls by the sensitivity times this."""
    volatility: float = 1.0
    """Factor on the deviations of log returns from their mean over the shock's bars."""
    volume: float = 1.0
    """Factor on volume."""
    half_spread: float = 1.0
    """Factor on the half spread that fills are charged."""

    def market(self, severity: float, sensitivity: float = DEFAULT_SENSITIVITY) -> Float64:
        """Return the market's level after each bar, relative to what it would have been, shape (bars,)."""
        if self.rate:
            depth = np.arange(1, self.bars + 1) / self.bars * (-self.rate * sensitivity)
        else:
            depth = np.array(self.levels or (0.0,) * self.bars)
        levels: Float64 = 1 + severity * depth
        if (levels <= 0).any():
            raise ConfigError(
                f"{self.name} at severity {severity} leaves the market at {levels.min():.2f} of its level"
            )
        return levels

    def scaled(self, factor: float, severity: float) -> float:
        """Return a factor of severity 1 at another severity: 1 at severity 0."""
        return 1 + severity * (factor - 1)


SHOCKS: Mapping[str, Shock] = MappingProxyType(
    {
        shock.name: shock
        for shock in (
            Shock(
                "market_crash",
                "Market crash",
                "S&P 500 closes of 14, 15, 16 and 19 October 1987 against 13 October: -3.0, -5.2, -10.1, -28.5 %",
                bars=4,
                levels=(-0.030, -0.052, -0.101, -0.285),
            ),
            Shock(
                "volatility_spike",
                "Volatility spike",
                "VIX closed at 82.69 on 16 March 2020, about four times its long-run mean of 19.5; held for a month",
                bars=21,
                volatility=4.0,
            ),
            Shock(
                "liquidity_crisis",
                "Liquidity crisis",
                "an assumption: nine tenths of what can be traded gone, spreads five times as wide, for a month",
                bars=21,
                volume=0.1,
                half_spread=5.0,
            ),
            Shock(
                "flash_crash",
                "Flash crash",
                "S&P 500 on 6 May 2010 against the close before: low -8.6 %, close -3.2 %; then all of it made good",
                bars=3,
                levels=(-0.086, -0.032, 0.0),
            ),
            Shock(
                "rate_shock",
                "Rate shock",
                "a parallel rise of 200 basis points, the Basel Committee's 2016 scenario for USD, within a week",
                bars=5,
                rate=0.02,
            ),
        )
    }
)
"""By name."""


def shock_of(name: str) -> Shock:
    """Return a shock by name; raise ConfigError that names the nearest."""
    if name not in SHOCKS:
        raise ConfigError(unknown("stress scenario", name, SHOCKS))
    return SHOCKS[name]


@dataclass(frozen=True)
class Setting:
    """Where a shock meets the data."""

    at: int
    """Row of the shock's first bar."""
    betas: Float64
    """Of each instrument to the market, shape (N,)."""
    sensitivity: float = DEFAULT_SENSITIVITY


def shocked(panel: Panel, shock: Shock, severity: float, setting: Setting) -> Panel:
    """Return the panel with a shock; rows before it are untouched. Raises ConfigError where the data end before it."""
    end = setting.at + shock.bars
    if end > len(panel.times):
        left = len(panel.times) - setting.at
        raise ConfigError(f"{shock.name} takes {shock.bars} bars, the data have {left} from its start on")
    prices = _moved(panel.prices, shock.market(severity, setting.sensitivity), setting)
    factor = shock.scaled(shock.volatility, severity)
    if factor != 1:
        prices = _spread(prices, slice(setting.at, end), factor)
    volume = panel.volume.copy()
    volume[setting.at : end] *= max(0.0, shock.scaled(shock.volume, severity))
    return panel.changed(prices, volume, setting.at)


def _moved(prices: Float64, levels: Float64, setting: Setting) -> Float64:
    """Move each instrument with the market to the power of its beta, the fall of a bar within that bar."""
    after = np.ones(len(prices))
    after[setting.at :] = levels[-1]
    after[setting.at : setting.at + len(levels)] = levels
    closing = after[:, None] ** setting.betas  # (T, N)
    opening = np.vstack([np.ones_like(closing[:1]), closing[:-1]])
    highest, lowest = np.maximum(opening, closing), np.minimum(opening, closing)
    # Each bar's own high is above its open and close, so the order holds after the products.
    factors = np.stack([opening, highest, lowest, closing], axis=2)  # (T, N, 4)
    moved: Float64 = prices * factors
    return moved


def _spread(prices: Float64, rows: slice, factor: float) -> Float64:
    """Scale the log distances of a stretch of bars from the close before, around the stretch's own mean return.

    So the stretch ends where it would have ended, but for rounding: volatility rises and the drift stays.
    """
    spread = prices.copy()
    before, last = rows.start - 1, rows.stop - 1
    mean = np.log(prices[last, :, 3:] / prices[before, :, 3:]) / (rows.stop - rows.start)  # (N, 1)
    for row in range(rows.start, rows.stop):
        relative = np.log(prices[row] / prices[row - 1, :, 3:])  # (N, 4)
        bar = spread[row - 1, :, 3:] * np.exp(mean + factor * (relative - mean))
        # The scaling keeps the order but for a last digit.
        bar[:, 1], bar[:, 2] = bar.max(axis=1), bar.min(axis=1)
        spread[row] = bar
    spread[rows.stop :] *= (spread[last, :, 3:] / prices[last, :, 3:])[None]
    return spread
