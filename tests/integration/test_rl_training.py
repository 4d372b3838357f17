"""Training from a program: the user guide's Example 4, and what else train_rl_policy promises."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator import FinAgentOrchestrator, TradingStrategy
from orchestrator.learning import KEYS, job_of
from orchestrator.policies import policies_of
from orchestrator.settings import load
from orchestrator.strategy_file import load_strategy
from rl import RewardFunction, RLAlgorithm, RLConfiguration
from rl.serving import ServedPolicy
from rl.session import Session
from rl.training import Progress
from streams.errors import ConfigError, Diverged, InvalidData, MissingData, UnknownSymbol, WorkflowError
from tests.integration.test_guide_examples import code

IMPORTS = "from rl import RLConfiguration, RLAlgorithm\n"
RL_TRAINING = """
async def rl_training_example():
    orchestrator = FinAgentOrchestrator()
    await orchestrator.initialize()
    
    # Configure RL
    rl_config = RLConfiguration(
        algorithm=RLAlgorithm.TD3,
        learning_rate=0.0003,
        buffer_size=1000000,
        batch_size=256
    )
    
    await orchestrator.initialize_rl_engine(rl_config)
    
    # Start training
    training_config = {
        "training_episodes": 1000,
        "symbols": ["AAPL", "GOOGL"],
        "start_date": "2023-01-01",
        "end_date": "2023-12-31"
    }
    
    result = await orchestrator.train_rl_policy(training_config)
    print(f"Training completed: {result['final_performance']}")
"""  # noqa: W293
SMALL = RLConfiguration(net_arch=(16,), batch_size=16, learning_starts=50)
ASKED = {
    "steps": 600,
    "symbols": ["AAPL", "GOOGL"],
    "start_date": "2012-01-01",
    "end_date": "2012-12-31",
    "evaluations": 2,
}


@asynccontextmanager
async def ready(
    folder: Path, config: RLConfiguration | None = SMALL, **more: Any
) -> AsyncIterator[FinAgentOrchestrator]:
    orchestrator = FinAgentOrchestrator({"rl_engine": {"folder": str(folder)}, "log_level": "WARNING", **more})
    await orchestrator.initialize()
    try:
        await orchestrator.initialize_rl_engine(config)
        yield orchestrator
    finally:
        await orchestrator.shutdown()


def example(text: str) -> Any:
    namespace: dict[str, Any] = {}
    exec(code(IMPORTS + text), namespace)
    return namespace["rl_training_example"]()


def test_example_4_trains_on_the_dates_that_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    asyncio.run(
        example(RL_TRAINING.replace("2023", "2012").replace('"training_episodes": 1000', '"training_episodes": 8'))
    )
    said = capsys.readouterr().out
    assert said.startswith("Training completed: {'sharpe_ratio': ")
    for name in ("total_return", "max_drawdown", "win_rate"):
        assert f"'{name}': " in said
    (result,) = tmp_path.glob(".finagent/training/*/result.json")
    told = json.loads(result.read_text())
    assert (told["episodes_completed"], told["config"]["config"]["buffer_size"]) == (8, 1_000_000)
    assert told["config"]["config"]["num_envs"] == 8


def test_the_shipped_example_trains_and_trades(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from examples.train_policy import main

    monkeypatch.chdir(tmp_path)
    asyncio.run(main(8))
    said = capsys.readouterr().out
    assert "sample:bokeh-sampledata (real data), seed 0, 2012-10-17 to 2012-12-31:" in said
    assert "is decided by td3-" in said


def test_example_4_says_what_data_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingData, match="AAPL has 2000-03-01 to 2013-03-01, not all of 2023-01-01 to 2023-12-31"):
        asyncio.run(example(RL_TRAINING))


async def test_a_training_is_told_judged_and_published(tmp_path: Path) -> None:
    heard: list[Progress] = []
    async with ready(tmp_path) as orchestrator:
        result = await orchestrator.train_rl_policy(ASKED, on_progress=heard.append)
        assert result["status"] == "completed"
        assert result["steps"] == heard[-1].steps == 600
        assert {"train", "validation", "test"} == set(result["periods"])
        assert result["out_of_sample"] == {"part": "test", **result["periods"]["test"]}
        ends = [result["periods"][name][edge] for name in ("train", "validation", "test") for edge in ("start", "end")]
        assert ends == sorted(ends)
        assert (ends[0], ends[-1]) == ("2012-01-03", "2012-12-31")
        assert set(result["baselines"]) == {"buy and hold", "equal weight", "minimum variance"}
        assert (result["data"], result["source"]) == ("real", "sample:bokeh-sampledata")
        assert result["convergence"]["status"] == "too short"
        assert result["episodes_completed"] == 0
        assert result["final_reward"] is None
        (policy,) = await policies_of(orchestrator.broker, orchestrator.serde)
        assert (
            (policy.policy_id, policy.version) == (result["policy_id"], result["version"]) == (result["training_id"], 1)
        )
        folder = Path(result["folder"])
        data = (folder / "policy.safetensors").read_bytes()
        assert policy.weights == data
        assert policy.sha256 == result["sha256"]
        served = ServedPolicy.read(data, result["sha256"])
        assert served.metadata["periods"] == result["periods"]
        strategy = load_strategy(folder / "strategy.yaml").strategy
        run = await orchestrator.start_strategy(strategy, history_end="2012-12-31")
        assert (run.alpha_pool, run.strategy_type) == ("rl", "rl")
        assert json.loads((folder / "result.json").read_text())["sha256"] == result["sha256"]


async def test_the_same_training_gives_the_same_bytes(tmp_path: Path) -> None:
    async with ready(tmp_path) as orchestrator:
        first = await orchestrator.train_rl_policy(ASKED)
        again = await orchestrator.train_rl_policy(ASKED)
        other = await orchestrator.train_rl_policy({**ASKED, "seed": 1})
        assert (first["sha256"], first["version"]) == (again["sha256"], again["version"])
        assert other["sha256"] != first["sha256"]
        assert other["training_id"] != first["training_id"]


class CustomRewardFunction(RewardFunction):
    def calculate_reward(
        self, state: Any, action: Any, next_state: Any, portfolio_value: float, benchmark_value: float
    ) -> float:
        # Custom reward calculation
        excess_return = (portfolio_value - benchmark_value) / benchmark_value
        volatility_penalty = float(np.std(portfolio_value)) * 0.1
        return excess_return - volatility_penalty


async def test_a_reward_of_ones_own_is_learned_from(tmp_path: Path) -> None:
    async with ready(tmp_path) as orchestrator:
        plain = await orchestrator.train_rl_policy(ASKED)
        own = await orchestrator.train_rl_policy({**ASKED, "reward": CustomRewardFunction()})
        named = await orchestrator.train_rl_policy(
            {**ASKED, "reward": {"log_return": {}, "turnover_penalty": {"weight": 0.1}}}
        )
        assert len({each["sha256"] for each in (plain, own, named)}) == 3
        assert len({each["policy_id"] for each in (plain, own, named)}) == 3
        assert own["reward"].endswith("CustomRewardFunction")
        assert named["reward"] == {"log_return": {}, "turnover_penalty": {"weight": 0.1}}


def left(folder: Path) -> list[str]:
    """Return what the one training in a folder has left."""
    (training,) = folder.iterdir()
    return sorted(path.name for path in training.iterdir() if not path.name.startswith("."))


async def test_shutdown_ends_a_training_and_the_loop_goes_on_meanwhile(tmp_path: Path) -> None:
    ticks = 0
    async with ready(tmp_path) as orchestrator:
        begun = asyncio.Event()
        asked = {**ASKED, "steps": 10_000_000}
        training = asyncio.create_task(orchestrator.train_rl_policy(asked, on_progress=lambda _: begun.set()))
        while not begun.is_set() or ticks < 6:
            ticks += begun.is_set()
            await asyncio.wait([training], timeout=0.01)
            assert not training.done()
        await orchestrator.shutdown()
        with pytest.raises(WorkflowError, match="stopped by a shutdown; its checkpoint is left"):
            await training
    assert left(tmp_path) == ["checkpoint", "seen.safetensors"]


async def test_a_cancelled_training_publishes_nothing(tmp_path: Path) -> None:
    async with ready(tmp_path) as orchestrator:
        begun = asyncio.Event()
        asked = {**ASKED, "steps": 10_000_000}
        training = asyncio.create_task(orchestrator.train_rl_policy(asked, on_progress=lambda _: begun.set()))
        await begun.wait()
        training.cancel()
        with pytest.raises(asyncio.CancelledError):
            await training
        assert await policies_of(orchestrator.broker, orchestrator.serde) == []


@pytest.mark.parametrize(
    ("asked", "error", "why"),
    [
        ({"training_episode": 3}, ConfigError, "unknown key 'training_episode', nearest is 'training_episodes'"),
        ({"episodes": 5, "training_episodes": 6}, ConfigError, "episodes .* give one of them"),
        ({"symbols": ["NOPE"]}, UnknownSymbol, "NOPE"),
        ({"symbols": []}, ConfigError, "symbols is empty"),
        ({"steps": 0}, ConfigError, "name training_episodes, or steps"),
        ({"split": [0.5, 0.5, 0.5]}, ConfigError, "add up to 1"),
        ({"costs": {"comission_rate": 0.1}}, ConfigError, "comission_rate"),
        ({"reward": "luck"}, ConfigError, "luck"),
        ({"end_date": "2011-01-01"}, ConfigError, "end 2011-01-01 is before start 2012-01-01"),
        ({"start_date": "2012-12-20"}, MissingData, "too few"),
        ({"gross_cap": 2.0}, ConfigError, "gross_cap 2.0 lies above max_gross"),
        ({"num_envs": 0}, ConfigError, "num_envs"),
    ],
)
def test_a_wrong_training_is_named(asked: dict[str, Any], error: type[Exception], why: str) -> None:
    with pytest.raises(error, match=why):
        _ = job_of({**ASKED, **asked}, SMALL, load(environ={}))[0].parts


def test_every_key_of_a_training_changes_the_job() -> None:
    settings = load(environ={})
    base = {**ASKED, "episode_steps": 10}  # so that no bars need to be read
    plain, _ = job_of(base, SMALL, settings)
    others: dict[str, Any] = {
        "training_episodes": 3,
        "training_steps": 600,
        "steps": 700,
        "episodes": 3,
        "symbols": ["AAPL", "IBM"],
        "start_date": "2011-01-03",
        "start": "2011-01-03",
        "end_date": "2012-11-30",
        "end": "2012-11-30",
        "interval": "1h",
        "providers": ["sample", "more.csv"],
        "allow_short": True,
        "gross_cap": 0.5,
        "max_gross": 1.5,
        "initial_cash": 5.0,
        "fill": "next_close",
        "episode_steps": 20,
        "lot_size": 10.0,
        "costs": {"half_spread_bps": 3.0},
        "split": [0.5, 0.25, 0.25],
        "evaluations": 3,
        "name": "mine",
        "checkpoint_every_s": 5.0,
        "num_envs": 2,
        "update_to_data": 1.0,
        "seed": 7,
        "reward": "excess_return",
    }
    assert set(others) == KEYS
    for key, value in others.items():
        if key == "training_steps":
            continue  # another name of steps
        asked = {name: each for name, each in base.items() if name != f"{key}_date"}
        changed, _ = job_of({**asked, key: value}, SMALL, settings)
        assert changed != plain, key


def test_episodes_end_after_a_year_where_the_training_part_is_longer() -> None:
    settings = load(environ={})
    short, _ = job_of(ASKED, SMALL, settings)
    long, _ = job_of({**ASKED, "start_date": "2008-01-02"}, SMALL, settings)
    assert (short.rules.episode_steps, long.rules.episode_steps) == (0, 252)
    assert (short.config.num_envs, short.config.update_to_data) == (8, 1 / 8)
    asked = RLConfiguration(algorithm=RLAlgorithm.SAC, update_to_data=2.0)
    assert job_of(ASKED, asked, settings)[0].config.update_to_data == 2.0
    assert job_of({**ASKED, "num_envs": 1}, asked, settings)[0].config.num_envs == 1


def test_the_configuration_comes_from_the_settings() -> None:
    settings = load(overrides={"rl_engine": {"algorithm": "ppo", "learning_rate": 0.01, "net_arch": [8]}}, environ={})
    config = settings.rl_engine.configuration()
    assert (config.algorithm, config.learning_rate, config.net_arch, config.batch_size) == (
        RLAlgorithm.PPO,
        0.01,
        (8,),
        64,
    )
    environ = {"FINAGENT_RL_ENGINE__ALGORITHM": "Td3", "FINAGENT_RL_ENGINE__NET_ARCH": "32,16"}
    read = load(environ=environ).rl_engine.configuration()
    assert (read.algorithm, read.net_arch, read.buffer_size) == (RLAlgorithm.TD3, (32, 16), 1_000_000)
    for name in ("TD3", "td3", "Td3"):
        assert RLConfiguration(algorithm=name).algorithm is RLAlgorithm.TD3  # type: ignore[arg-type]


async def test_what_is_not_ready_is_refused(tmp_path: Path) -> None:
    orchestrator = FinAgentOrchestrator({"log_level": "WARNING"})
    with pytest.raises(ConfigError, match="not initialized"):
        await orchestrator.initialize_rl_engine()
    await orchestrator.initialize()
    try:
        with pytest.raises(ConfigError, match="initialize_rl_engine"):
            await orchestrator.train_rl_policy(ASKED)
    finally:
        await orchestrator.shutdown()
    async with ready(tmp_path, RLConfiguration(net_arch=(1024, 1024))) as large:
        with pytest.raises(ConfigError, match="use a smaller net_arch"):
            await large.train_rl_policy(ASKED)


async def test_a_training_that_learns_nothing_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Flat(RewardFunction):
        def calculate_reward(self, *step: Any) -> float:
            return 0.0

    config = SMALL.model_copy(update={"num_envs": 2})
    async with ready(tmp_path, config) as orchestrator:
        with caplog.at_level(logging.WARNING, "RLPolicyEngine"):
            asked = {**ASKED, "evaluations": 8, "reward": Flat()}
            result = await orchestrator.train_rl_policy(asked)
    assert result["convergence"]["status"] == "not converging"
    (warning,) = [record for record in caplog.records if record.name == "RLPolicyEngine"]
    assert warning.levelno == logging.WARNING
    assert warning.getMessage().startswith("Training not converging after 4 episodes: ")
    assert "Try: " in warning.getMessage()


async def test_figures_beyond_all_bounds_are_warned_of_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = SMALL.model_copy(update={"reward_scale": 1e37})
    async with ready(tmp_path, config) as orchestrator:
        result = await orchestrator.train_rl_policy({**ASKED, "name": "huge"})
    (warning,) = [record for record in caplog.records if record.name == "RLPolicyEngine"]
    assert "critic_loss is not finite" in warning.getMessage()
    assert "lower learning_rate" in warning.getMessage()
    told = json.loads((tmp_path / "huge" / "result.json").read_text())
    assert told["convergence"] == result["convergence"]
    assert told["convergence"]["evaluations"][-1]["figures"]["critic_loss"] in ("inf", "nan")


def test_weights_that_are_lost_end_the_training_with_the_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = load(overrides={"rl_engine": {"folder": str(tmp_path)}}, environ={})
    for name in ("td3", "ppo"):
        config = RLConfiguration(
            algorithm=RLAlgorithm(name), net_arch=(16,), num_envs=2, n_steps=20, batch_size=20, learning_starts=50
        )
        session = Session(job_of({**ASKED, "name": name}, config, settings)[0])
        algorithm: Any = session.training.algorithm
        update = algorithm.update

        def spoilt(*given: Any, algorithm: Any = algorithm, update: Any = update) -> Any:
            figures = update(*given)
            algorithm.policy().layers[0][0][0, 0] = np.nan
            return figures

        algorithm.update = spoilt
        with pytest.raises(Diverged, match="weights are not finite after"):
            list(session.run())
        assert caplog.records[-1].getMessage().startswith("Training not converging after ")
        assert "lower learning_rate" in caplog.records[-1].getMessage()


def test_a_folder_belongs_to_one_training(tmp_path: Path) -> None:
    settings = load(overrides={"rl_engine": {"folder": str(tmp_path)}}, environ={})
    asked = {**ASKED, "name": "mine", "steps": 200}
    one = Session(job_of(asked, SMALL, settings)[0])
    rounds = one.run()
    next(rounds)
    with pytest.raises(ConfigError, match=r"a training is at work in .*mine"):
        next(Session(job_of(asked, SMALL, settings)[0]).run())
    list(rounds)
    with pytest.raises(InvalidData, match=r"mine is of another job .* give this one a name"):
        next(Session(job_of({**asked, "seed": 5}, SMALL, settings)[0]).run())
    for _ in Session(job_of(asked, SMALL, settings)[0]).run():  # the same once more
        pass


def test_a_strategy_names_its_policy(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("name: x\nstrategy_type: rl\nsymbols: [AAPL]\nparameters: {rebalance_band: 0.0}\n")
    with pytest.raises(ConfigError, match="set the parameter policy_id"):
        load_strategy(path)
    strategy = TradingStrategy("s", "s", symbols=["AAPL"], parameters={"alpha_pool": "rl_agent_pool", "policy_id": "p"})
    assert strategy.to_spec().parameters["policy_id"] == "p"
    with pytest.raises(InvalidData):
        ServedPolicy.read(b"no policy")
