"""What a training is asked for: RLConfiguration and RLAlgorithm."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Precision = Literal["fp32", "auto"]


class RLAlgorithm(StrEnum):
    """The algorithms; a name is understood in any case."""

    TD3 = "TD3"
    """Fujimoto, van Hoof and Meger 2018."""
    DDPG = "DDPG"
    """Lillicrap et al. 2016."""
    SAC = "SAC"
    """Haarnoja et al. 2018, with a learned temperature."""
    PPO = "PPO"
    """Schulman et al. 2017."""
    A2C = "A2C"
    """Mnih et al. 2016, its workers in step."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        found = str(value).upper()
        return cls(found) if found in cls.__members__ and found != value else None

    @property
    def off_policy(self) -> bool:
        """Tell whether it learns from a replay buffer."""
        return self not in (RLAlgorithm.PPO, RLAlgorithm.A2C)


class RLConfiguration(BaseModel):
    """How a policy is trained; what is not given takes the default of its algorithm.

    The defaults are those of the papers as stable-baselines3 2.9 has them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    algorithm: RLAlgorithm = RLAlgorithm.TD3
    """Which algorithm."""
    learning_rate: float = Field(gt=0, lt=1)
    """Step size of the optimiser. TD3, DDPG 1e-3; SAC, PPO 3e-4; A2C 7e-4."""
    gamma: float = Field(default=0.99, ge=0, le=1)
    """Discount per step."""
    batch_size: int = Field(ge=1)
    """Transitions per gradient step. TD3, DDPG, SAC 256; PPO 64; A2C takes its whole rollout."""
    net_arch: tuple[int, ...] = Field(min_length=1)
    """Units of the hidden layers, of actor and critics alike. TD3, DDPG, SAC 256, 256; PPO, A2C 64, 64."""
    max_grad_norm: float = Field(ge=0)
    """Gradients are scaled down to this norm; 0: not. PPO, A2C 0.5; others 0."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Of everything that is drawn."""
    precision: Precision = "fp32"
    """fp32, or auto: the fastest matrix products that the processor has (bfloat16 inputs, float32 sums)."""
    device: str = Field(default="cpu", pattern=r"^(cpu|cuda(:\d+)?)$")
    """cpu, cuda or cuda:N."""
    threads: int = Field(default=1, ge=1)
    """Threads of the matrix products while training."""
    num_envs: int = Field(ge=1)
    """Environments that are stepped at once. TD3, DDPG, SAC 1; PPO, A2C 8."""
    normalize_observations: bool = False
    """True: observations are brought to mean 0 and standard deviation 1, by running figures that the policy keeps."""
    reward_scale: float = Field(default=1.0, gt=0)
    """Rewards are multiplied by it before anything learns from them."""

    buffer_size: int = Field(default=1_000_000, ge=1)
    """Transitions that the replay buffer keeps; memory is taken as they come. Off-policy."""
    learning_starts: int = Field(default=1_000, ge=0)
    """Steps with uniformly random actions before the first gradient step. Off-policy."""
    update_to_data: float = Field(default=1.0, gt=0)
    """Gradient steps per environment step. Off-policy."""
    tau: float = Field(default=0.005, gt=0, le=1)
    """Share of the weights that a target network takes over at each update. Off-policy."""
    policy_delay: int = Field(ge=1)
    """Critic updates per actor update. TD3 2; DDPG, SAC 1."""
    exploration_noise: float = Field(default=0.1, ge=0)
    """Standard deviation of the noise on actions in [-1, 1] while collecting. TD3, DDPG."""
    target_noise: float = Field(default=0.2, ge=0)
    """Standard deviation of the noise on target actions. TD3."""
    noise_clip: float = Field(default=0.5, ge=0)
    """Bound of that noise. TD3."""
    entropy_temperature: float | None = Field(default=None, gt=0)
    """Weight of the entropy; none: learned so that entropy meets target_entropy. SAC."""
    target_entropy: float | None = None
    """None: minus the number of actions. SAC."""
    prioritized: bool = False
    """True: transitions are drawn by their last error (Schaul et al. 2016), not uniformly. Off-policy."""
    priority_alpha: float = Field(default=0.6, ge=0, le=1)
    """How much the error counts; 0: not at all."""
    priority_beta: float = Field(default=0.4, ge=0, le=1)
    """How much of the bias is weighed out at the start; 1 at the end."""

    n_steps: int = Field(ge=1)
    """Steps of each environment per rollout. PPO 2048 in all, A2C 5 each. On-policy."""
    n_epochs: int = Field(default=10, ge=1)
    """Passes over a rollout. PPO."""
    gae_lambda: float = Field(ge=0, le=1)
    """Lambda of generalised advantage estimation (Schulman et al. 2016). PPO 0.95; A2C 1. On-policy."""
    clip_range: float = Field(default=0.2, gt=0)
    """How far the ratio of probabilities may move. PPO."""
    entropy_coefficient: float = Field(default=0.0, ge=0)
    """Weight of the entropy bonus. On-policy."""
    value_coefficient: float = Field(default=0.5, ge=0)
    """Weight of the value loss. On-policy."""

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        algorithm = RLAlgorithm(given.get("algorithm", RLAlgorithm.TD3))
        filled = {**_DEFAULTS[algorithm], **given, "algorithm": algorithm}
        if algorithm is RLAlgorithm.PPO:
            count = filled["num_envs"]
            filled.setdefault("n_steps", max(1, 2048 // count) if isinstance(count, int) and count > 0 else 2048)
        return filled


_OFF_POLICY: dict[str, Any] = {
    "learning_rate": 1e-3,
    "batch_size": 256,
    "net_arch": (256, 256),
    "max_grad_norm": 0.0,
    "num_envs": 1,
    "policy_delay": 1,
    "n_steps": 1,
    "gae_lambda": 0.95,
}
_ON_POLICY: dict[str, Any] = {
    "learning_rate": 3e-4,
    "batch_size": 64,
    "net_arch": (64, 64),
    "max_grad_norm": 0.5,
    "num_envs": 8,
    "policy_delay": 1,
    "gae_lambda": 0.95,
}
_DEFAULTS: dict[RLAlgorithm, dict[str, Any]] = {
    RLAlgorithm.TD3: {**_OFF_POLICY, "policy_delay": 2},
    RLAlgorithm.DDPG: _OFF_POLICY,
    RLAlgorithm.SAC: {**_OFF_POLICY, "learning_rate": 3e-4},
    RLAlgorithm.PPO: _ON_POLICY,
    RLAlgorithm.A2C: {**_ON_POLICY, "learning_rate": 7e-4, "n_steps": 5, "gae_lambda": 1.0},
}
