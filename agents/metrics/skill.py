"""How likely a Sharpe ratio is skill rather than luck or selection."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from agents.metrics.distribution import kurtosis, skewness
from agents.metrics.ratios import sharpe_ratio
from schemas.columns import Float64
from streams.errors import InvalidData

EULER = 0.5772156649015329
"""The Euler-Mascheroni constant."""


@dataclass(frozen=True)
class SharpeEstimate:
    """A Sharpe ratio and what its standard error needs."""

    ratio: float
    """Per period, not annualised."""
    observations: int
    """Returns behind it."""
    skewness: float = 0.0
    """Of the returns."""
    kurtosis: float = 0.0
    """Of the returns, 0 where normal; the papers' gamma 4 is 3 more."""

    def __post_init__(self) -> None:
        if self.observations < 2:
            raise InvalidData(f"observations is {self.observations}, expected at least 2")


def estimate_sharpe(changes: Float64, risk_free: float = 0.0) -> SharpeEstimate | None:
    """Return the Sharpe ratio per period (ddof 1) with the moments (ddof 0) of returns; None where it is undefined."""
    ratio, third, fourth = sharpe_ratio(changes, 1, risk_free), skewness(changes), kurtosis(changes)
    if ratio is None or third is None or fourth is None:
        return None
    return SharpeEstimate(ratio, len(changes), third, fourth)


def probabilistic_sharpe_ratio(estimate: SharpeEstimate, threshold: float = 0.0) -> float | None:
    """Return the probability that the true Sharpe ratio is above a threshold, both per period.

    None where the moments give the estimate no positive variance. Source: Bailey and Lopez de Prado 2012, eq. 11.
    """
    ratio = estimate.ratio
    spread = 1 - estimate.skewness * ratio + (estimate.kurtosis + 2) / 4 * ratio**2
    if spread <= 0:
        return None
    return NormalDist().cdf((ratio - threshold) * math.sqrt((estimate.observations - 1) / spread))


def expected_maximum_sharpe(trials: int, variance: float) -> float:
    """Return the Sharpe ratio that the best of independent trials without skill is expected to show, per period.

    variance is that of the trials' Sharpe ratios per period. Source: Bailey and Lopez de Prado 2014, eq. 1.
    Raises InvalidData for fewer than 1 trial or a negative variance.
    """
    if trials < 1 or variance < 0:
        raise InvalidData(f"got {trials} trials of variance {variance}, expected at least 1 and a variance >= 0")
    if trials == 1:
        return 0.0
    quantile = NormalDist().inv_cdf
    highest = (1 - EULER) * quantile(1 - 1 / trials) + EULER * quantile(1 - 1 / (trials * math.e))
    return math.sqrt(variance) * highest


def deflated_sharpe_ratio(estimate: SharpeEstimate, trials: int, variance: float) -> float | None:
    """Return the probabilistic Sharpe ratio against the expected maximum of the trials that it was chosen from.

    Source: Bailey and Lopez de Prado 2014, eq. 2.
    """
    return probabilistic_sharpe_ratio(estimate, expected_maximum_sharpe(trials, variance))
