"""What a training came to: the policy that is kept, judged on sessions that no choice has seen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from rl import checkpoint
from rl.baselines import BASELINES
from rl.diagnosis import Diagnosis
from rl.evaluation import evaluate, follow
from rl.examination import Examination
from rl.job import TrainingJob
from rl.market import Market
from rl.panel import Panel
from rl.rewards import RewardFunction
from rl.serving import SERVING, Serving
from rl.weights import sha256
from streams.errors import DataError

POLICY, RESULT, STRATEGY = "policy.safetensors", "result.json", "strategy.yaml"
FIGURES = ("sharpe_ratio", "total_return", "max_drawdown", "win_rate", "annual_return", "volatility", "final_value")


@dataclass(frozen=True)
class Outcome:
    """A training that has ended, or was stopped."""

    job: TrainingJob
    reward: RewardFunction
    examination: Examination
    steps: int
    """Environment steps done."""
    episodes: int
    """Episodes that ended."""
    updates: int
    """Gradient steps done."""
    final_reward: float | None
    """Mean reward of the last episodes, up to 100."""
    seconds: float
    """How long it took."""
    complete: bool
    """False where it was stopped."""

    @cached_property
    def policy(self) -> bytes:
        """Return the file of the policy that scored best on the validation part; the same job gives the same bytes."""
        assert self.examination.best is not None
        serving = Serving.of(self.job.market, self.job.rules)
        told = {
            SERVING: serving.model_dump(mode="json"),
            "training_id": self.job.training_id,
            **self.provenance(),
            "config": self.job.config.model_dump(mode="json"),
        }
        return self.examination.best.pack(told)

    @cached_property
    def diagnosis(self) -> Diagnosis:
        """Return whether it converged, and why not."""
        return self.examination.diagnosis()

    def provenance(self) -> dict[str, Any]:
        """Return where it comes from: data, seed, configuration."""
        panel = self.job.market.panel
        return {
            "source": panel.source,
            "data": "synthetic" if panel.synthetic else "real",
            "data_sha256": data_hash(panel),
            "config_sha256": self.job.config_hash,
            "seed": self.job.config.seed,
            "reward": _name(self.reward, self.job),
            "periods": {name: _period(part) for name, part in self._parts.items()},
        }

    def result(self) -> dict[str, Any]:
        """Return the documented result keys; final_performance is of the test part, net of costs."""
        performance = {name: self._performance(part) for name, part in self._parts.items()}
        diagnosis = self.diagnosis
        return {
            "status": "completed" if self.complete else "stopped",
            "training_id": self.job.training_id,
            "final_performance": performance["test"],
            "out_of_sample": {"part": "test", **_period(self.job.parts.test)},
            "episodes_completed": self.episodes,
            "final_reward": self.final_reward,
            "steps": self.steps,
            "updates": self.updates,
            "seconds": round(self.seconds, 3),
            "baselines": self.baselines(),
            "in_sample": {name: performance[name] for name in ("train", "validation")},
            "convergence": {
                "status": diagnosis.status,
                "reason": diagnosis.reason,
                "advice": list(diagnosis.advice),
                "chosen_at_step": self.examination.best_at,
                "evaluations": [point.told() for point in self.examination.points],
            },
            "algorithm": str(self.job.config.algorithm),
            "symbols": list(self._symbols),
            **self.provenance(),
            "note": self.job.market.panel.note,
            "config": self.job.model_dump(mode="json"),
            "sha256": sha256(self.policy),
            "folder": str(self.job.path),
            "versions": {name: version(name) for name in ("finagent-orchestration", "torch", "numpy", "gymnasium")},
        }

    def baselines(self) -> dict[str, dict[str, float | None] | str]:
        """Return what rules that learn nothing earn on the test part, net of the same costs; or why one cannot."""
        found: dict[str, dict[str, float | None] | str] = {}
        test, rules = self.job.parts.test, self.job.rules
        for name, rule in BASELINES.items():
            try:
                figures = follow(rule(self.job.whole_market, test), test, rules).figures()
            except DataError as error:
                found[name] = str(error)
            else:
                found[name] = {key: figures[key] for key in FIGURES}
        return found

    def write(self, result: Mapping[str, Any]) -> list[Path]:
        """Write the policy, the result and a strategy that is decided by the policy; return their paths."""
        folder = self.job.path
        checkpoint.write(folder / POLICY, self.policy)
        checkpoint.write(folder / RESULT, (json.dumps(result, indent=2, sort_keys=True) + "\n").encode())
        strategy = yaml.safe_dump(self.strategy(), sort_keys=False)
        note = f"# Decided by the policy beside it: finagent backtest {folder / STRATEGY} --policy {folder / POLICY}\n"
        checkpoint.write(folder / STRATEGY, (note + strategy).encode())
        return [folder / POLICY, folder / RESULT, folder / STRATEGY]

    def strategy(self) -> dict[str, Any]:
        """Return a strategy that the policy decides for, sized as it was trained."""
        rules, job = self.job.rules, self.job
        return {
            "strategy_id": job.training_id,
            "name": f"{job.config.algorithm} policy {job.training_id}",
            "strategy_type": "rl",
            "symbols": list(self._symbols),
            "rebalance_frequency": "bar",
            "parameters": {"policy_id": job.training_id, "max_gross": rules.max_gross, "rebalance_band": 0.0},
            **({"limits": {"allow_short": True}} if rules.allow_short else {}),
            "initial_cash": rules.initial_cash,
        }

    @property
    def _symbols(self) -> Iterator[str]:
        return (name.rpartition(".")[0] for name in self.job.market.panel.instrument_ids)

    @property
    def _parts(self) -> dict[str, Market]:
        parts = self.job.parts
        return {"train": parts.train, "validation": parts.validation, "test": parts.test}

    def _performance(self, part: Market) -> dict[str, float | None]:
        assert self.examination.best is not None
        figures = evaluate(self.examination.best, part, self.job.rules, self.reward).figures()
        return {name: figures[name] for name in (*FIGURES, "turnover", "cost_share")}


def data_hash(panel: Panel) -> str:
    """Return the SHA-256 of a panel's values, whatever its source is called."""
    digest = hashlib.sha256("|".join((*panel.instrument_ids, panel.interval)).encode())
    for column in (panel.times, panel.closes, panel.opens, panel.volumes):
        digest.update(b"-" if column is None else np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()


def _period(part: Market) -> dict[str, Any]:
    dates = part.panel.session_dates
    return {"start": dates[0], "end": dates[-1], "sessions": len(dates)}


def _name(reward: RewardFunction, job: TrainingJob) -> Any:
    own = type(reward)
    return job.reward if own is type(job.reward_function()) else f"{own.__module__}.{own.__qualname__}"
