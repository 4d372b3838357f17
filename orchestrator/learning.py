"""Training from a program: what initialize_rl_engine and train_rl_policy of the facade do."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from orchestrator.settings import Settings
from orchestrator.wording import unknown
from rl.config import RLAlgorithm, RLConfiguration
from rl.diagnosis import warn
from rl.job import TrainingJob
from rl.outcome import Outcome
from rl.publishing import MAX_BYTES
from rl.rewards import RewardFunction
from rl.session import Session
from rl.training import Progress
from streams.errors import ConfigError, WorkflowError

log = logging.getLogger("RLPolicyEngine")
NUM_ENVS = 8
"""Environments that off-policy training steps at once, unless told."""
EPISODE_STEPS = 252
"""Steps of an episode at most, unless told: a year of daily bars, from a random one on."""
SAY_S = 10.0
"""How often progress is logged, s."""
CALL_S = 0.2
"""How often a caller is told of it, s."""
_ALIASES = {"training_episodes": "episodes", "training_steps": "steps", "start": "start_date", "end": "end_date"}
_DATA = {
    "symbols": "symbols",
    "start_date": "start",
    "end_date": "end",
    "interval": "interval",
    "providers": "providers",
}
_RULES = ("allow_short", "gross_cap", "max_gross", "initial_cash", "fill", "episode_steps", "lot_size", "costs")
_JOB = ("episodes", "steps", "split", "evaluations", "name", "checkpoint_every_s")
_CONFIG = ("num_envs", "update_to_data", "seed")
KEYS = frozenset({*_ALIASES, *_DATA, *_RULES, *_JOB, *_CONFIG, "reward"})
"""What train_rl_policy takes."""


def job_of(
    asked: Mapping[str, Any], config: RLConfiguration, settings: Settings
) -> tuple[TrainingJob, RewardFunction | None]:
    """Return the job of a dict, costs and data sources those of the settings unless given; and a reward of its own.

    An episode is one pass over the training part, or a year from a random session on where that is longer. Off-policy
    algorithms step 8 environments at once, with one gradient step for each step of all of them, unless the
    configuration or the dict names num_envs or update_to_data; a configuration's num_envs of 1 is its default and names
    nothing, the dict's does. Raises ConfigError that names the key.
    """
    given = _plain(asked)
    own = given.pop("reward", None)
    document: dict[str, Any] = {name: given[name] for name in _JOB if name in given}
    document["data"] = {to: given[name] for name, to in _DATA.items() if name in given}
    document["data"].setdefault("providers", settings.data.providers)
    document["rules"] = _rules(given, settings)
    document["config"] = _config(given, config)
    if isinstance(own, RewardFunction):
        document["reward_class"] = f"{type(own).__module__}.{type(own).__qualname__}"
    elif own is not None:
        document["reward"] = own
    if not document.get("episodes") and not document.get("steps"):
        raise ConfigError("training: name training_episodes, or steps")
    job = TrainingJob.of({**document, "folder": settings.rl_engine.folder})
    if "episode_steps" not in given:
        steps = min(EPISODE_STEPS, len(job.parts.train) - 1)
        whole = steps == len(job.parts.train) - 1
        job = job.model_copy(update={"rules": job.rules.model_copy(update={"episode_steps": 0 if whole else steps})})
    return job, own if isinstance(own, RewardFunction) else None


def _plain(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return a training's dict with its aliases resolved; raise ConfigError for a key that nobody reads."""
    if not isinstance(asked, Mapping):
        raise ConfigError(f"training: expected a dict, got {asked!r}")
    given: dict[str, Any] = {}
    for key, value in asked.items():
        if key not in KEYS:
            raise ConfigError(f"training: {unknown('key', str(key), KEYS)}")
        name = _ALIASES.get(key, key)
        if name in given and given[name] != value:
            raise ConfigError(f"training: {key} is {value!r}, and {name} {given[name]!r}; give one of them")
        given[name] = value
    return given


def _rules(given: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    own = {name: given[name] for name in _RULES if name in given}
    costs = own.get("costs", {})
    if not isinstance(costs, Mapping):
        raise ConfigError(f"training: costs must be a dict of cost model parameters, got {costs!r}")
    return {
        "initial_cash": settings.sandbox.initial_capital,
        "cash_buffer": settings.risk.cash_buffer,
        **own,
        "costs": {**settings.cost_model().model_dump(), **costs},
    }


def _config(given: Mapping[str, Any], config: RLConfiguration) -> dict[str, Any]:
    """Return a configuration with what the dict names, and with several environments where nobody said how many."""
    told = config.model_dump()
    if config.algorithm.off_policy and config.num_envs == 1:
        told["num_envs"] = NUM_ENVS
    told |= {name: given[name] for name in _CONFIG if name in given}
    named = "update_to_data" in given or "update_to_data" in config.model_fields_set
    if config.algorithm.off_policy and not named and isinstance(told["num_envs"], int) and told["num_envs"] > 0:
        told["update_to_data"] = 1 / told["num_envs"]
    return told


@dataclass
class PolicyTraining:
    """A training in a thread of its own: the event loop goes on while torch computes."""

    asked: Mapping[str, Any]
    config: RLConfiguration
    settings: Settings
    on_progress: Callable[[Progress], None] | None = None
    """Called on the event loop, a few times a second at most."""
    _stop: threading.Event = field(default_factory=threading.Event)

    async def run(self) -> tuple[Outcome, dict[str, Any]]:
        """Train to the end, judge and write what came of it; return it with its result.

        Cancelling asks the thread to end after the round at hand and waits until it has, with a checkpoint left.
        """
        self._loop = asyncio.get_running_loop()
        working = asyncio.ensure_future(asyncio.to_thread(self._work))
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            self._stop.set()
            await asyncio.wait([working])
            if not isinstance(working.exception(), WorkflowError | None):
                log.error("a training failed as it was stopped: %r", working.exception())
            raise

    def _work(self) -> tuple[Outcome, dict[str, Any]]:
        job, reward = job_of(self.asked, self.config, self.settings)
        check_size(job)
        session = Session(job, reward)
        self._train(session)
        if session.notes.share < 1:
            raise WorkflowError(f"training {job.training_id} was stopped; its checkpoint is left")
        outcome = session.notes.outcome()
        warn(outcome.diagnosis, outcome.episodes)
        result = outcome.result()
        if self.settings.financing.charges:
            unpaid = "interest (the settings of financing) was neither paid nor received in training"
            result["note"] = "; ".join(filter(None, (result["note"], unpaid)))
        outcome.write(result)
        shown = {name: result[name] for name in ("status", "final_reward", "final_performance")}
        log.info("%s: %s", job.training_id, shown)
        return outcome, result

    def _train(self, session: Session) -> None:
        said = time.monotonic() - SAY_S
        called = said
        for progress in session.run(self._stop.is_set):
            now = time.monotonic()
            if self.on_progress is not None and (now > called + CALL_S or session.training.done):
                called = now
                self._loop.call_soon_threadsafe(self.on_progress, progress)
            if now > said + SAY_S:
                said = now
                log.info("%s: %s", session.job.training_id, told(progress, session))


def told(progress: Progress, session: Session) -> str:
    """Return how far a training is, in one line."""
    reward = "-" if session.notes.final_reward is None else f"{session.notes.final_reward:.4g}"
    last = session.notes.examination.points[-1]
    return (
        f"{progress.episodes:,} episodes, {progress.steps:,} steps, {progress.updates:,} updates, "
        f"mean episode reward {reward}, score {last.train:.3g} in training and {last.validation:.3g} on validation"
    )


def check_size(job: TrainingJob) -> None:
    """Raise ConfigError where the policy would be too large to be published."""
    actions = len(job.market.panel.instrument_ids)
    heads = 2 * actions if job.config.algorithm is RLAlgorithm.SAC else actions
    sizes = [job.market.observation_size, *job.config.net_arch, heads]
    numbers = sum((inputs + 1) * outputs for inputs, outputs in pairwise(sizes))
    if 4 * numbers > 0.98 * MAX_BYTES:
        raise ConfigError(
            f"a policy with net_arch {job.config.net_arch} on {actions} instruments takes {4 * numbers:,} bytes, "
            f"{MAX_BYTES:,} can be published: use a smaller net_arch"
        )
