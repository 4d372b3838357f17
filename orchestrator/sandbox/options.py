"""How the scenarios are run: their parameters besides strategies and data."""

from __future__ import annotations

import datetime as dt

from pydantic import BaseModel, ConfigDict, Field, field_validator

from orchestrator.sandbox.shocks import DEFAULT_SENSITIVITY, SHOCKS, shock_of


class Options(BaseModel):
    """Frozen and checked; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class LiveOptions(Options):
    """How a live simulation is run."""

    pace: float = Field(default=0.0, ge=0)
    """Slices per second; 0: as fast as it goes."""


class StressOptions(Options):
    """How a stress test is run."""

    stress_scenarios: tuple[str, ...] = Field(default=tuple(SHOCKS), min_length=1)
    """Names of shocks."""
    severity_levels: tuple[float, ...] = Field(default=(0.5, 0.75, 1.0), min_length=1)
    """Shares of each shock's stated size, in (0, 2]."""
    benchmark: str | None = None
    """Symbol that betas are taken to; None: the equal-weighted market of the strategy's symbols."""
    shock_date: dt.date | None = None
    """Session of the shock's first bar; None: the middle bar of the data."""
    beta_window: int = Field(default=252, ge=20)
    """Returns before the shock, at most, that betas are estimated on; at least 20 must be there."""
    rate_sensitivity: float = Field(default=DEFAULT_SENSITIVITY, gt=0, le=20)
    """Fall of the market in per cent for each percentage point by which rates rise."""

    @field_validator("stress_scenarios")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            shock_of(name)
        return tuple(dict.fromkeys(names))

    @field_validator("severity_levels")
    @classmethod
    def _range(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        for level in levels:
            if not 0 < level <= 2:
                raise ValueError(f"severity {level} is not in (0, 2]")
        return tuple(sorted(set(levels)))


class AbOptions(Options):
    """How an A/B test is run."""

    seed: int = Field(default=0, ge=0)
    """Of the bootstrap."""
    resamples: int = Field(default=2000, ge=100, le=1_000_000)
    """Bootstrap resamples."""
    confidence: float = Field(default=0.95, gt=0, lt=1)
    """Level of the interval; p-values below 1 - confidence count as a difference."""
    mean_block: float | None = Field(default=None, ge=1)
    """Mean block of the bootstrap, in days; None: chosen from the differences."""
    periods_per_year: float = Field(default=252.0, gt=0)
    """Days with returns in a year."""


class MonteCarloOptions(Options):
    """How a Monte Carlo run is run."""

    paths: int = Field(default=200, ge=2, le=10_000)
    """Resampled paths."""
    seed: int = Field(default=0, ge=0)
    """Of the paths; path k has the k-th spawned child of its numpy SeedSequence."""
    mean_block: float | None = Field(default=None, ge=1)
    """Mean block of the bootstrap, in bars; None: chosen from the returns and their size."""
    workers: int = Field(default=1, ge=1, le=64)
    """Processes; the figures do not depend on it."""
