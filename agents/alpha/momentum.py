"""Momentum: hold what has risen over the lookback, leave what has fallen."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from agents.alpha.opinion import Closes, Opinion, confidence, last
from agents.parameters import Parameters
from schemas.signals import Direction


class MomentumParameters(Parameters):
    """Parameters of momentum."""

    aliases: ClassVar[dict[str, str]] = {"threshold": "momentum_threshold", "signal_threshold": "momentum_threshold"}
    momentum_threshold: float = Field(default=0.02, ge=0)
    """Return over the lookback beyond which to act, as a fraction."""
    momentum_window: int | None = Field(default=None, ge=1)
    """Lookback in bars; overrides the strategy's lookback_period."""
    top: int | None = Field(default=None, ge=1)
    """Hold only this many instruments: those with the highest returns."""


def history(parameters: MomentumParameters, lookback: int) -> int:
    """Return the closes that a decision needs: the lookback and the close before it."""
    return (parameters.momentum_window or lookback) + 1


def decide(parameters: MomentumParameters, closes: Closes, lookback: int) -> dict[str, Opinion]:
    """Compare each return close[-1] / close[-1 - lookback] - 1 with the threshold.

    The score is that return, the confidence confidence(score, momentum_threshold). Without top: BUY above the
    threshold, SELL below its negative, else HOLD. With top: BUY the highest-ranked ones that lie above the threshold
    (equal returns rank by instrument_id), SELL all others. Source: Moskowitz, Ooi and Pedersen (2012) without top,
    Jegadeesh and Titman (1993) with it.
    """
    needed = history(parameters, lookback)
    scores = {name: _return(closes, name, needed) for name in closes}
    if parameters.top is None:
        signals = {name: _absolute(score, parameters.momentum_threshold) for name, score in scores.items()}
        return {name: _opinion(signals[name], score, parameters) for name, score in scores.items()}
    ranked = sorted(scores, key=lambda name: (-scores[name], name))
    best = {name for name in ranked[: parameters.top] if scores[name] > parameters.momentum_threshold}
    return {name: _opinion("BUY" if name in best else "SELL", score, parameters) for name, score in scores.items()}


def _return(closes: Closes, instrument_id: str, needed: int) -> float:
    window = last(closes, instrument_id, needed)
    return float(window[-1] / window[0] - 1)


def _absolute(score: float, threshold: float) -> Direction:
    if score > threshold:
        return "BUY"
    return "SELL" if score < -threshold else "HOLD"


def _opinion(signal: Direction, score: float, parameters: MomentumParameters) -> Opinion:
    return Opinion(signal, score, confidence(score, parameters.momentum_threshold))
