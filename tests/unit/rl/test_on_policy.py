"""PPO and A2C: their gradients, their updates beside stable-baselines3's, what they learn and what they keep."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import gymnasium
import numpy as np
import pytest
import stable_baselines3
import torch
from stable_baselines3.common.logger import Logger
from torch import Tensor, nn

from rl import on_policy
from rl.a2c import A2C
from rl.actor_critic import ActorCritic, log_probabilities
from rl.advantages import advantages
from rl.algorithm import make
from rl.config import RLConfiguration
from rl.on_policy import GaussianActorCritic
from rl.ppo import PPO, Course
from rl.rows import Layout
from rl.training import Training
from streams.errors import ConfigError, InvalidData
from tests.unit.rl.lqr import VectorLQR, learned

LAYOUT = Layout(3, 2)
LOW, HIGH = np.full(2, -1, np.float32), np.full(2, 1, np.float32)
BOTH = pytest.mark.parametrize("name", ["PPO", "A2C"])
TOLD = {
    "actor_loss",
    "critic_loss",
    "entropy",
    "grad_norm",
    "reward_max",
    "explained_variance",
}


def configured(name: str, **changes: Any) -> RLConfiguration:
    return RLConfiguration(algorithm=name, **{"net_arch": (8, 8), "n_steps": 10, "batch_size": 16, **changes})


def made(config: RLConfiguration) -> GaussianActorCritic:
    algorithm = make(config, LAYOUT, LOW, HIGH)
    assert isinstance(algorithm, GaussianActorCritic)
    return algorithm


def rollout(seed: int = 0, steps: int = 10, envs: int = 4) -> Any:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((steps, envs, LAYOUT.width)).astype(np.float32)
    rows[:, :, LAYOUT.terminated] = rng.random((steps, envs)) < 0.1
    rows[:, :, LAYOUT.truncated] = rng.random((steps, envs)) < 0.1
    going = rows[:-1, :, LAYOUT.terminated] + rows[:-1, :, LAYOUT.truncated] == 0
    rows[:-1, :, LAYOUT.next_observation][going] = rows[1:, :, LAYOUT.observation][going]
    return rows


class DoublePPO(PPO):
    dtype = torch.float64


class DoubleA2C(A2C):
    dtype = torch.float64


class Modules:
    """The same networks out of torch's own modules, with autograd."""

    def __init__(self, network: ActorCritic) -> None:
        _, _, critic, critic_bias, log_std = network.head
        self.actor = _modules(network.layers())
        hidden = [(weight[1], bias[1, 0]) for weight, bias in network.hidden]
        self.critic = _modules([*hidden, (critic[:, None], critic_bias)])
        self.log_std = nn.Parameter(log_std.clone())

    def log_probabilities(self, observations: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        normal = torch.distributions.Normal(self.actor(observations), self.log_std.exp())
        return normal.log_prob(actions).sum(1), normal.entropy().sum(1)

    def values(self, observations: Tensor) -> Tensor:
        found: Tensor = self.critic(observations).flatten()
        return found

    def gradients_like(self, network: ActorCritic) -> Tensor:
        """Return the gradients in the order of the network's one vector."""
        parts = []
        actor, critic = (list(module)[::2] for module in (self.actor, self.critic))
        for mine, other in zip(actor[:-1], critic[:-1], strict=True):
            parts += [mine.weight.grad.T, other.weight.grad.T, mine.bias.grad, other.bias.grad]
        parts += [actor[-1].weight.grad.T, actor[-1].bias.grad, critic[-1].weight.grad, critic[-1].bias.grad]
        return torch.cat([part.reshape(-1) for part in (*parts, self.log_std.grad)])


def _modules(layers: Any) -> nn.Sequential:
    found: list[nn.Module] = []
    for weight, bias in layers:
        linear = nn.Linear(*weight.shape, dtype=weight.dtype)
        linear.weight.data, linear.bias.data = weight.T.clone(), bias.clone()
        found += [linear, nn.Tanh()]
    return nn.Sequential(*found[:-1])


def scattered(algorithm: GaussianActorCritic) -> None:
    """Move the parameters away from where they start, so that no gradient is small."""
    generator = torch.Generator().manual_seed(7)
    algorithm.network.parameters.add_(torch.randn(algorithm.network.parameters.shape, generator=generator), alpha=0.3)


@pytest.mark.parametrize("net_arch", [(7,), (6, 5), (4, 6, 5)])
def test_gradients_of_ppo_are_those_of_autograd(net_arch: tuple[int, ...]) -> None:
    config = configured("PPO", net_arch=net_arch, entropy_coefficient=0.02, value_coefficient=0.7)
    algorithm = DoublePPO(config, LAYOUT, LOW, HIGH)
    scattered(algorithm)
    observations, actions = torch.randn(50, 3, dtype=torch.float64), torch.randn(50, 2, dtype=torch.float64)
    gains, returns, moved = torch.randn(3, 50, dtype=torch.float64)
    modules = Modules(algorithm.network)
    log_probability, entropy = modules.log_probabilities(observations, actions)
    old = log_probability.detach() - 0.4 * moved  # ratios on both sides of the clip, with gains of both signs
    normal = (gains - gains.mean()) / (gains.std() + 1e-8)
    ratio = torch.exp(log_probability - old)
    surrogate = torch.min(normal * ratio, normal * torch.clamp(ratio, 0.8, 1.2)).mean()
    error = torch.nn.functional.mse_loss(returns, modules.values(observations))
    (-surrogate - 0.02 * entropy.mean() + 0.7 * error).backward()

    course = Course()
    algorithm.differentiate(observations, actions, old, gains, returns, course=course)
    assert 0.1 < float(((ratio - 1).abs() > 0.2).double().mean()) < 0.9
    torch.testing.assert_close(
        algorithm.network.gradients, modules.gradients_like(algorithm.network), rtol=1e-6, atol=1e-9
    )
    torch.testing.assert_close(torch.cat(course.surrogates).mean(), surrogate.detach())


def test_gradients_of_a2c_are_those_of_autograd() -> None:
    config = configured("A2C", entropy_coefficient=0.02, value_coefficient=0.7, max_grad_norm=0)
    algorithm = DoubleA2C(config, LAYOUT, LOW, HIGH)
    scattered(algorithm)
    rows = rollout()
    modules = Modules(algorithm.network)
    flat = torch.from_numpy(rows.reshape(-1, LAYOUT.width)).double()
    observations, actions = flat[:, LAYOUT.observation], flat[:, LAYOUT.action]
    batch = algorithm.batch(rows)
    gains = (batch.advantages - batch.advantages.mean()) / (batch.advantages.std() + 1e-8)
    log_probability, entropy = modules.log_probabilities(observations, actions)
    error = torch.nn.functional.mse_loss(batch.returns, modules.values(observations))
    (-(gains * log_probability).mean() - 0.02 * entropy.mean() + 0.7 * error).backward()
    algorithm.update(rows)
    torch.testing.assert_close(
        algorithm.network.gradients, modules.gradients_like(algorithm.network), rtol=1e-6, atol=1e-9
    )


@BOTH
def test_an_update_moves_the_parameters_as_stable_baselines3_does(name: str) -> None:
    steps, envs = 10, 4
    rows = rollout(steps=steps, envs=envs)
    # One minibatch: the order within it does not matter, and nothing else is drawn.
    config = configured(name, batch_size=steps * envs, n_epochs=4, gae_lambda=0.9, entropy_coefficient=0.01)
    ours = made(config)
    theirs = _stable_baselines(name, config, rows)
    _take_weights(theirs.policy, ours.network)
    _fill(theirs, rows, ours)
    theirs.train()
    before = ours.network.parameters.clone()
    figures = ours.update(rows)
    for linear, weight, bias in _pairs(theirs.policy, ours.network):
        torch.testing.assert_close(weight.T, linear.weight.data, rtol=1e-4, atol=2e-6)
        torch.testing.assert_close(bias, linear.bias.data, rtol=1e-4, atol=2e-6)
    torch.testing.assert_close(ours.network.log_std, theirs.policy.log_std.data, rtol=1e-4, atol=2e-6)
    assert (ours.network.parameters - before).abs().max() > 1e-4
    told = theirs.logger.name_to_value
    assert figures["explained_variance"] == pytest.approx(told["train/explained_variance"], rel=1e-3, abs=1e-4)
    assert figures["critic_loss"] == pytest.approx(told["train/value_loss"], rel=1e-4)
    if name == "PPO":
        assert figures["clip_fraction"] == pytest.approx(told["train/clip_fraction"], abs=0.01)
        assert 0 < figures["approx_kl"] < told["train/approx_kl"]  # theirs is of the last epoch alone


def _stable_baselines(name: str, config: RLConfiguration, rows: Any) -> Any:
    space = gymnasium.spaces.Box(-np.inf, np.inf, (LAYOUT.observation_size,), np.float32)

    class Nowhere(gymnasium.Env[Any, Any]):
        observation_space, action_space = space, gymnasium.spaces.Box(-1, 1, (LAYOUT.action_size,), np.float32)

    vector = stable_baselines3.common.vec_env.DummyVecEnv([Nowhere] * rows.shape[1])
    own = {"batch_size": config.batch_size, "n_epochs": config.n_epochs} if name == "PPO" else {}
    extra = {} if name == "PPO" else {"normalize_advantage": True}
    found = getattr(stable_baselines3, name)(
        "MlpPolicy",
        vector,
        n_steps=len(rows),
        gae_lambda=config.gae_lambda,
        ent_coef=config.entropy_coefficient,
        policy_kwargs={"net_arch": list(config.net_arch)},
        device="cpu",
        **own,
        **extra,
    )
    found.set_logger(Logger(None, []))
    return found


def _critic_head(network: ActorCritic) -> tuple[Tensor, Tensor]:
    return network.head[2][:, None], network.head[3]


def _pairs(policy: Any, network: ActorCritic) -> list[tuple[Any, Tensor, Tensor]]:
    """Return their linear layers beside our weights and biases."""
    actor = [*list(policy.mlp_extractor.policy_net)[::2], policy.action_net]
    critic = [*list(policy.mlp_extractor.value_net)[::2], policy.value_net]
    ours = [*network.layers(), *((w[1], b[1, 0]) for w, b in network.hidden), _critic_head(network)]
    return [(linear, weight, bias) for linear, (weight, bias) in zip([*actor, *critic], ours, strict=True)]


def _take_weights(policy: Any, network: ActorCritic) -> None:
    for linear, weight, bias in _pairs(policy, network):
        weight.copy_(linear.weight.data.T)
        bias.copy_(linear.bias.data)


def _fill(theirs: Any, rows: Any, ours: GaussianActorCritic) -> None:
    """Put a rollout into their buffer as their collecting loop does."""
    buffer = theirs.rollout_buffer
    buffer.reset()
    starts = np.zeros(rows.shape[1])
    for row in rows:
        observations, actions = row[:, LAYOUT.observation], row[:, LAYOUT.action]
        cut = (row[:, LAYOUT.truncated] > 0) & (row[:, LAYOUT.terminated] == 0)
        reward = row[:, LAYOUT.reward] + 0.99 * cut * ours.values(row[:, LAYOUT.next_observation])
        with torch.no_grad():
            values, log_probability, _ = theirs.policy.evaluate_actions(
                torch.from_numpy(observations.copy()), torch.from_numpy(actions.copy())
            )
        buffer.add(observations, actions, reward, starts, values, log_probability)
        starts = row[:, LAYOUT.terminated] + row[:, LAYOUT.truncated] > 0
    last = torch.from_numpy(ours.values(rows[-1][:, LAYOUT.next_observation]))
    buffer.compute_returns_and_advantage(last, starts)


@BOTH
def test_weights_start_orthogonal_and_the_actor_near_nought(name: str) -> None:
    network = made(configured(name, net_arch=(16, 8))).network
    (first, bias), (second, _) = network.hidden
    for half in first:
        torch.testing.assert_close(half @ half.T, 2 * torch.eye(3))
    for half in second:
        torch.testing.assert_close(half.T @ half, 2 * torch.eye(8), atol=1e-5, rtol=1e-5)
    assert not bias.any()
    assert not network.log_std.any()
    torch.testing.assert_close(network.head[0].T @ network.head[0], 1e-4 * torch.eye(2), atol=1e-8, rtol=1e-4)
    assert float(network.head[2].norm()) == pytest.approx(1)
    assert not torch.equal(first[0], first[1])


@BOTH
def test_the_policy_follows_the_network_and_a_copy_does_not(name: str) -> None:
    algorithm = made(configured(name, normalize_observations=True))
    observations = rollout(1)[0, :, LAYOUT.observation].copy()
    policy = algorithm.policy()
    kept = policy.copy()
    before = policy.act(observations)
    for seed in range(3):
        algorithm.update(rollout(seed))
    assert not np.array_equal(policy.act(observations), before)
    np.testing.assert_array_equal(kept.act(observations), before)
    assert algorithm.normaliser is not None
    seen = torch.from_numpy(algorithm.normaliser.normalise(observations))
    _, mean, values = algorithm.network.forward(seen)
    np.testing.assert_allclose(policy.act(observations), mean.clamp(-1, 1), atol=1e-6)
    np.testing.assert_array_equal(algorithm.values(observations), values)


@BOTH
def test_a_rollout_counts_once_in_the_figures_by_which_observations_are_seen(name: str) -> None:
    algorithm = made(configured(name, normalize_observations=True))
    rows = [rollout(seed) for seed in range(3)]
    seen = []
    for one in rows:
        policy = algorithm.policy()
        assert policy.mean is not None
        seen.append(policy.mean.copy())
        algorithm.update(one)
    assert algorithm.normaliser is not None
    assert algorithm.normaliser.count == 3 * 40
    observations = np.concatenate(rows)[:, :, LAYOUT.observation].reshape(-1, 3)
    np.testing.assert_allclose(algorithm.normaliser.mean, observations.mean(axis=0), rtol=1e-5)
    assert not seen[0].any()
    np.testing.assert_allclose(seen[1], rows[0][:, :, LAYOUT.observation].mean(axis=(0, 1)), rtol=1e-5)


@BOTH
def test_what_the_policy_draws_has_the_density_that_the_update_sees(name: str) -> None:
    algorithm = made(configured(name))
    scattered(algorithm)
    observation = np.tile(rollout(1)[0, :1, LAYOUT.observation], (200_000, 1))
    drawn = algorithm.policy().explore(observation, np.random.default_rng(0))
    _, mean, _ = algorithm.network.forward(torch.from_numpy(observation[:1]))
    found = log_probabilities(torch.from_numpy(drawn), mean, algorithm.network.log_std)
    entropy = float((algorithm.network.log_std + 0.5 * np.log(2 * np.pi * np.e)).sum())
    assert -float(found.mean()) == pytest.approx(entropy, abs=0.01)  # the mean of -log p is the entropy


@BOTH
@pytest.mark.parametrize("normal", [False, True])
def test_goes_on_from_its_state_to_the_bit(name: str, normal: bool) -> None:
    config = configured(name, normalize_observations=normal)
    whole, other = made(config), made(config.model_copy(update={"seed": 9}))
    for seed in range(3):
        whole.update(rollout(seed))
    other.restore(whole.state())
    for seed in range(3, 6):
        assert whole.update(rollout(seed)) == other.update(rollout(seed))
    _same(whole.state(), other.state())
    assert whole.updates == other.updates > 0


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    assert one.keys() == other.keys()
    assert all(array.tobytes() == other[key].tobytes() for key, array in one.items())


@BOTH
def test_a_foreign_state_is_refused_and_changes_nothing(name: str) -> None:
    algorithm = made(configured(name))
    before = algorithm.state()
    for foreign in (made(configured(name, net_arch=(9, 8))).state(), {}, {**before, "parameters": np.zeros(3)}):
        with pytest.raises(InvalidData):
            algorithm.restore(foreign)
        _same(before, algorithm.state())


@BOTH
def test_rewards_that_are_not_finite_are_refused(name: str) -> None:
    rows = rollout()
    rows[1, 2, LAYOUT.reward] = np.nan
    algorithm = made(configured(name))
    before = algorithm.state()
    with pytest.raises(InvalidData, match="finite"):
        algorithm.update(rows)
    _same(before, algorithm.state())


@BOTH
def test_figures_have_their_names(name: str) -> None:
    rows = rollout()
    figures = made(configured(name)).update(rows)
    assert set(figures) == (TOLD | {"approx_kl", "clip_fraction"} if name == "PPO" else TOLD)
    assert all(np.isfinite(value) for value in figures.values())
    assert figures["reward_max"] == np.abs(rows[:, :, LAYOUT.reward]).max()


def test_one_row_is_learned_from() -> None:
    algorithm = made(configured("A2C"))
    assert np.isfinite(algorithm.update(rollout(steps=1, envs=1))["grad_norm"])


def test_the_last_minibatch_may_be_smaller_even_one_row() -> None:
    algorithm = made(configured("PPO", batch_size=13))
    figures = algorithm.update(rollout())  # 40 rows: 13, 13, 13, 1
    assert algorithm.updates == 40
    assert all(np.isfinite(value) for value in figures.values())


@BOTH
def test_a_device_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cuda:77"):
        made(configured(name, device="cuda:77"))


@BOTH
@pytest.mark.parametrize(("flag", "worth"), [(LAYOUT.terminated, 1.0), (LAYOUT.truncated, 5.0)])
def test_only_a_terminated_step_has_no_value_after_it(name: str, flag: int, worth: float) -> None:
    """With a reward of 1 at each step, each the last of its episode: 1, or 1 / (1 - gamma) where it is cut off."""
    algorithm = made(configured(name, gamma=0.8, learning_rate=0.01, max_grad_norm=0))
    rows = np.zeros((10, 4, LAYOUT.width), np.float32)
    rows[:, :, LAYOUT.reward] = rows[:, :, flag] = 1
    for _ in range(60 if name == "PPO" else 1_000):
        algorithm.update(rows)
    assert algorithm.values(np.zeros((1, 3), np.float32))[0] == pytest.approx(worth, rel=0.02)


LEARNING: dict[str, dict[str, Any]] = {
    "PPO": {"n_steps": 64, "batch_size": 128, "learning_rate": 3e-3},
    "A2C": {"n_steps": 10, "learning_rate": 5e-3},
}
GOOD = 0.95
"""How far from doing nothing to the best policy an algorithm must come; all of these come above it, and none broken."""


def _trained(name: str, seed: int = 0, **changes: Any) -> tuple[float, Mapping[str, float]]:
    """Return how well it learned, and the figures of its last update."""
    config = RLConfiguration(
        algorithm=name, **{**LEARNING[name], "net_arch": (32,), "gamma": 0.9, "seed": seed, **changes}
    )
    training = Training(config, VectorLQR(8), steps=6_000)
    figures = [progress.figures for progress in training.run()]
    return learned(training.policy.act), figures[-1]


@BOTH
@pytest.mark.parametrize("seed", [0, 1])
def test_learns(name: str, seed: int) -> None:
    assert _trained(name, seed)[0] > GOOD


@BOTH
def test_learns_from_observations_far_from_nought(name: str) -> None:
    class Far(VectorLQR):
        def reset(self, **given: Any) -> Any:
            observations, infos = super().reset(**given)
            return 1000 + 30 * observations, infos

        def step(self, actions: Any) -> Any:
            observations, *rest, infos = super().step(actions)
            if "final_obs" in infos:
                infos["final_obs"] = 1000 + 30 * infos["final_obs"]
            return 1000 + 30 * observations, *rest, infos

    scores = {}
    for normal in (False, True):
        config = RLConfiguration(
            algorithm=name, **LEARNING[name], net_arch=(32,), gamma=0.9, normalize_observations=normal
        )
        training = Training(config, Far(8), steps=8_000)
        for _ in training.run():
            pass
        scores[normal] = learned(lambda x, act=training.policy.act: act(1000 + 30 * x))
    assert scores[True] > GOOD > scores[False]


@BOTH
def test_an_actor_that_goes_uphill_does_not_learn(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the sign of the policy's loss turned round it must fail, or test_learns would show nothing."""
    backward = ActorCritic.backward

    def turned(self: ActorCritic, inputs: Any, d_mean: Tensor, d_values: Tensor, d_log_std: Tensor) -> None:
        backward(self, inputs, -d_mean, d_values, -d_log_std)

    monkeypatch.setattr(ActorCritic, "backward", turned)
    assert _trained(name)[0] < 0


@BOTH
def test_a_critic_that_goes_uphill_foresees_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, good = _trained(name)
    backward = ActorCritic.backward

    def turned(self: ActorCritic, inputs: Any, d_mean: Tensor, d_values: Tensor, d_log_std: Tensor) -> None:
        backward(self, inputs, d_mean, -d_values, d_log_std)

    monkeypatch.setattr(ActorCritic, "backward", turned)
    assert _trained(name)[1]["critic_loss"] > 10 * good["critic_loss"]


def test_clipping_keeps_the_policy_near_through_many_epochs() -> None:
    apart = {}
    for clip_range in (0.2, 1e6):
        given = {**LEARNING["PPO"], "learning_rate": 1e-2, "n_epochs": 40, "clip_range": clip_range}
        config = RLConfiguration(algorithm="PPO", net_arch=(32,), **given)
        *_, last = Training(config, VectorLQR(8), steps=1_000).run()
        apart[clip_range] = last.figures["approx_kl"]
    assert apart[0.2] < 0.2 < 1 < apart[1e6]


@BOTH
def test_does_not_learn_from_shuffled_advantages(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)

    def shuffled(*given: Any, **flags: Any) -> Any:
        found = advantages(*given, **flags)
        return rng.permuted(found.reshape(-1)).reshape(found.shape)

    monkeypatch.setattr(on_policy, "advantages", shuffled)
    assert _trained(name)[0] < 0.8


@BOTH
def test_the_same_seed_gives_the_same_weights(name: str) -> None:
    packed = []
    for seed in (3, 3, 4):
        training = Training(configured(name, seed=seed, num_envs=4), VectorLQR(4), steps=200)
        for _ in training.run():
            pass
        packed.append(training.policy.pack())
    assert packed[0] == packed[1] != packed[2]
    assert all(one != other for one, other in pairwise(packed[1:]))
