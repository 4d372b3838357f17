"""Training in one process: collect, learn, tell; no broker needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rl import checkpoint
from rl.algorithm import Algorithm, OffPolicy, OnPolicy, make
from rl.collector import Collector, Episode
from rl.config import RLConfiguration
from rl.policy import Policy
from rl.precision import computing
from rl.replay import Replay, replay_of
from rl.rows import Float32
from rl.weights import Arrays, part_of
from streams.errors import ConfigError, Diverged, InvalidData

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv


@dataclass(frozen=True)
class Progress:
    """How far a training is, after each round of collecting and learning."""

    steps: int
    """Environment steps so far."""
    episodes: int
    """Episodes that ended so far."""
    updates: int
    """Gradient steps so far."""
    ended: tuple[Episode, ...]
    """The episodes that ended in this round."""
    figures: Mapping[str, float]
    """What the round's updates tell; empty where there were none."""


@dataclass
class Training:
    """A training of one policy; iterate over run() to do it.

    It ends with the round that reaches so many environment steps or episodes, whichever comes first; a round is a step
    of each environment, or a whole rollout with PPO and A2C. The same seed gives the same weights.
    """

    config: RLConfiguration
    envs: VectorEnv[Any, Any, Any]
    steps: int = 0
    """Environment steps to do; 0: as many as the episodes take."""
    episodes: int = 0
    """Episodes to do; 0: as many as the steps give."""
    collector: Collector = field(init=False)
    algorithm: Algorithm = field(init=False)
    replay: Replay | None = field(init=False, default=None)
    done_episodes: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        if self.steps < 0 or self.episodes < 0 or not self.steps + self.episodes:
            raise ConfigError(f"name the steps or the episodes to train for, got {self.steps} and {self.episodes}")
        if self.envs.num_envs != self.config.num_envs:
            raise ConfigError(f"num_envs is {self.config.num_envs}, the environment has {self.envs.num_envs}")
        self.collector = Collector(self.envs, self.config.seed)
        layout = self.collector.layout
        self.algorithm = make(self.config, layout, self.collector.low, self.collector.high)
        if isinstance(self.algorithm, OffPolicy):
            self.replay = replay_of(self.config, layout)

    @property
    def policy(self) -> Policy:
        """Return the policy as it is now."""
        return self.algorithm.policy().copy()

    @property
    def share(self) -> float:
        """Return how much of it is done, 0 to 1."""
        of_steps = self.collector.steps / self.steps if self.steps else 0.0
        of_episodes = self.done_episodes / self.episodes if self.episodes else 0.0
        return min(1.0, max(of_steps, of_episodes))

    @property
    def done(self) -> bool:
        """Tell whether it is at its end."""
        return self.share >= 1

    def run(self) -> Iterator[Progress]:
        """Yield after each round until the end; what computes is configured only while it does.

        Raises Diverged once the policy's weights are not finite.
        """
        while not self.done:
            with computing(self.config):
                ended, figures = self._learn_off(self.replay) if self.replay is not None else self._learn_on()
            check_finite(self.algorithm)
            self.done_episodes += len(ended)
            yield Progress(self.collector.steps, self.done_episodes, self.algorithm.updates, tuple(ended), figures)

    def _learn_off(self, replay: Replay) -> tuple[list[Episode], Mapping[str, float]]:
        """Collect one step of each environment, then learn as many steps as update_to_data asks for."""
        algorithm, config = cast(OffPolicy, self.algorithm), self.config
        random = self.collector.steps < config.learning_starts
        rows, ended = self._collect(None if random else algorithm.policy(), 1)
        replay.add(rows.reshape(-1, rows.shape[-1]))
        replay.progress = self.share
        due = int((self.collector.steps - config.learning_starts) * config.update_to_data) - algorithm.updates
        return ended, algorithm.update(replay, due) if due > 0 else {}

    def _learn_on(self) -> tuple[list[Episode], Mapping[str, float]]:
        algorithm = cast(OnPolicy, self.algorithm)
        rows, ended = self._collect(algorithm.policy(), self.config.n_steps)
        return ended, algorithm.update(rows)

    def _collect(self, policy: Policy | None, steps: int) -> tuple[Float32, list[Episode]]:
        rows, ended = self.collector.collect(policy, steps)
        rows[:, :, self.collector.layout.reward] *= self.config.reward_scale
        return rows, ended

    def save(self, folder: Path) -> Path:
        """Write a checkpoint: everything but the environments, which start new episodes when it is taken up again."""
        arrays: Arrays = {f"algorithm.{name}": array for name, array in self.algorithm.state().items()}
        told: dict[str, Any] = {
            "config": self._told_config(),
            "episodes": self.done_episodes,
            "collector": self.collector.state(),
        }
        if self.replay is not None:
            held, told["replay"] = self.replay.state()
            arrays |= {f"replay.{name}": array for name, array in held.items()}
        return checkpoint.save(folder, f"step-{self.collector.steps}", arrays, told)

    def resume(self, folder: Path) -> None:
        """Take up the latest checkpoint; raise InvalidData where it is of another configuration."""
        arrays, told = checkpoint.load(folder)
        if told.get("config") != self._told_config():
            raise InvalidData(f"the checkpoint in {folder} is of another configuration: {told.get('config')}")
        self.algorithm.restore(part_of(arrays, "algorithm."))
        if self.replay is not None:
            self.replay.restore(part_of(arrays, "replay."), told["replay"])
        self.collector.restore(told["collector"])
        self.done_episodes = told["episodes"]

    def _told_config(self) -> dict[str, Any]:
        """Return the configuration less what says only where it is computed: that may change between two starts."""
        return self.config.model_dump(mode="json", exclude={"device", "threads"})


def check_finite(algorithm: Algorithm) -> None:
    """Raise Diverged where the policy's weights are not finite: no action can come of them."""
    if not algorithm.policy().finite:
        raise Diverged(f"the policy's weights are not finite after {algorithm.updates:,} updates")
