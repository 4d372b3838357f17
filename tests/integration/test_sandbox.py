"""Sandbox scenarios: every mode really runs the strategy, on real samples."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agents.context import Run, Slice
from agents.data.feed import Row
from agents.data.fetch import Fetched, FetchParameters, fetch
from agents.data.sources import SampleProvider
from agents.pool import AgentPool
from orchestrator import FinAgentOrchestrator, SandboxEnvironment, SandboxMode, TestScenario
from orchestrator.backtest import Backtest
from orchestrator.sandbox.ab_test import run_ab
from orchestrator.sandbox.live import simulate
from orchestrator.sandbox.monte_carlo import run_monte_carlo
from orchestrator.sandbox.options import AbOptions, MonteCarloOptions, StressOptions
from orchestrator.sandbox.shocks import SHOCKS
from orchestrator.sandbox.stress import StressedCosts, run_stress, time_to_recover
from orchestrator.sandbox.trial import Trial, plan_of, rows_of
from orchestrator.settings import Settings, load
from orchestrator.strategy import TradingStrategy
from schemas import Bar, Signal
from streams.errors import ConfigError, FinAgentError

SYMBOLS = ("AAPL", "GOOGL", "IBM", "MSFT")
PERIOD = {"start_date": "2012-01-03", "end_date": "2012-06-29"}
IDLE = {"strategy_type": "idle", "parameters": {"alpha_pool": "idle"}}
Result = dict[str, Any]


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load(overrides={"log_level": "WARNING"}, environ={})


def fetched(start: str = "2012-01-03", end: str = "2012-06-29") -> Fetched:
    dates = {"start": dt.date.fromisoformat(start), "end": dt.date.fromisoformat(end)}
    return fetch(SampleProvider(), FetchParameters(symbols=SYMBOLS, **dates))


def idle_pool() -> AgentPool:
    pool = AgentPool("idle", role="alpha")

    @pool.on
    def hold(slice_: Slice, run: Run) -> None:
        return None

    return pool


def environment(settings: Settings, config: Result | None = None) -> SandboxEnvironment:
    orchestrator = FinAgentOrchestrator(settings=settings)
    orchestrator.register_agent_pool(idle_pool())
    return SandboxEnvironment(orchestrator=orchestrator, config=config)


def scenario(mode: SandboxMode, **parameters: Any) -> TestScenario:
    return TestScenario(scenario_id="s", name="S", mode=mode, parameters={**PERIOD, **parameters})


def trial(settings: Settings, kind: str = "momentum", cash: float = 1_000_000.0, **parameters: Any) -> Trial:
    strategy = TradingStrategy(
        strategy_id=kind,
        name=kind,
        symbols=list(SYMBOLS),
        lookback_period=5,
        rebalance_frequency="bar",
        parameters={"strategy_type": kind, **parameters},
    )
    return Trial(kind, plan_of(strategy, fetched(), settings, cash))


def strip(result: Result) -> bytes:
    return json.dumps(result, sort_keys=True, allow_nan=False).encode()


@pytest.fixture(scope="module")
def stressed(settings: Settings) -> Result:
    """All shocks at severity 1, on three strategies of which one does nothing."""
    asked = scenario(
        SandboxMode.STRESS_TEST, strategies=["momentum", "mean_reversion", IDLE], severity_levels=[1.0], symbols=SYMBOLS
    )
    return asyncio.run(environment(settings).run_test_scenario(asked))


def runs_of(result: Result, strategy: str) -> dict[str, Result]:
    return {row["scenario"]: row for row in result["stress"]["runs"] if row["strategy"] == strategy}


def test_every_shock_changes_with_the_strategy(stressed: Result) -> None:
    momentum, reversion = runs_of(stressed, "momentum"), runs_of(stressed, "mean_reversion")
    assert set(momentum) == set(SHOCKS)
    for name in SHOCKS:
        assert momentum[name]["final_value"] != reversion[name]["final_value"], name
        assert momentum[name]["performance_metrics"] != reversion[name]["performance_metrics"], name
        assert momentum[name]["data_sha256"] == reversion[name]["data_sha256"] != stressed["manifest"]["data_sha256"]
        assert momentum[name]["data"] == "real and synthetic"


def test_a_strategy_that_does_nothing_is_flat_under_every_shock(stressed: Result) -> None:
    for name, row in runs_of(stressed, "idle").items():
        assert set(row["equity"]["equity"]) == {1_000_000.0}, name
        assert (row["loss"], row["max_drawdown"], row["time_to_recover"], row["orders"]) == (0.0, 0.0, 0, 0)


def test_buy_and_hold_loses_what_the_crash_takes(stressed: Result) -> None:
    held = runs_of(stressed, "buy_and_hold")
    assert {row["role"] for row in held.values()} == {"reference"}
    assert held["market_crash"]["loss_share"] == pytest.approx(0.285, abs=0.02)
    assert held["flash_crash"]["loss_share"] == pytest.approx(0, abs=1e-9)
    before = stressed["stress"]["baselines"][-1]["performance_metrics"]
    assert held["flash_crash"]["performance_metrics"]["volatility"] > before["volatility"]
    assert held["flash_crash"]["time_to_recover"] > 1
    assert held["rate_shock"]["loss_share"] == pytest.approx(0.08, abs=0.01)


async def test_the_baseline_is_the_plain_backtest(stressed: Result, settings: Settings) -> None:
    plain = await environment(settings).run_backtest({**PERIOD, "symbols": SYMBOLS})
    baseline = stressed["stress"]["baselines"][0]
    assert baseline["performance_metrics"] == plain["performance_metrics"]
    assert baseline["data_sha256"] == plain["manifest"]["data_sha256"] == stressed["manifest"]["data_sha256"]
    assert stressed["manifest"]["data"] == "real"
    assert "shocked" in stressed["manifest"]["derived"]


def test_the_worst_run_gives_the_figures(stressed: Result) -> None:
    rows = [row for row in stressed["stress"]["runs"] if row["role"] == "strategy"]
    worst = min(rows, key=lambda row: row["final_value"])
    assert stressed["performance_metrics"] == worst["performance_metrics"]
    assert stressed["stress"]["worst"]["scenario"] == worst["scenario"]
    assert (stressed["status"], stressed["mode"], stressed["scenario_id"]) == ("completed", "stress_test", "s")


def test_a_shock_starts_where_it_is_told_to_and_grows_with_severity(settings: Settings) -> None:
    options = StressOptions(
        stress_scenarios=("market_crash",), severity_levels=(0.5, 1.0), shock_date=dt.date(2012, 5, 1)
    )
    held, slices = trial(settings, "equal_weight", limits={"max_daily_loss": 0.15}), rows_of(fetched())
    result = run_stress([held], slices, options)
    assert result["stress"]["shock"]["session"] == "2012-05-01"
    rows = [row for row in result["stress"]["runs"] if row["strategy"] == "equal_weight"]
    assert 0 < rows[0]["loss"] < rows[1]["loss"]
    assert [row["kill_switch_trips"] for row in rows] == [0, 1], "the last day of 1987 alone is more than 15 %"
    assert strip(run_stress([held], slices, options)) == strip(result)
    with pytest.raises(FinAgentError, match="no session of the data, which have 2012-01-03 to 2012-06-29"):
        run_stress([held], slices, options.model_copy(update={"shock_date": dt.date(2012, 5, 6)}))
    with pytest.raises(ConfigError, match="repeat the name equal_weight"):
        run_stress([held, held], slices, options)


def test_a_liquidity_crisis_is_charged_to_fills(settings: Settings) -> None:
    tried, slices = trial(settings, top=2, position_size=0.45, rebalance_band=0.0), rows_of(fetched())
    times = [rows[0].ts_event for rows in slices]
    calm = settings.cost_model()
    wide = calm.model_copy(update={"half_spread_bps": 5.0})
    done = tried.run(slices, StressedCosts(calm, wide, times[60], times[80]))
    opens = {bar.ts_open: number for number, rows in enumerate(slices) for bar in rows if isinstance(bar, Bar)}
    shares = {
        60 <= opens[fill.ts_event] <= 80: round(fill.spread_cost / fill.quantity / fill.reference_price, 9)
        for fill in done.fills
    }
    assert shares == {False: 1e-4, True: 5e-4}
    result = run_stress([tried], slices, StressOptions(stress_scenarios=("liquidity_crisis",), severity_levels=(1.0,)))
    assert result["stress"]["runs"][0]["loss"] > 0


def test_recovery_counts_from_the_bar_before_the_shock(settings: Settings) -> None:
    backtest = Backtest(trial(settings).plan, trial(settings).plan.run())
    backtest.times.extend(range(10, 16))
    backtest.equity.extend([1.0, 2.0, 1.5, 1.0, 2.0, 2.5])
    assert [time_to_recover(backtest, ts) for ts in (12, 13, 15)] == [3, 2, 0]
    backtest.equity[4:] = type(backtest.equity)("d", [1.9, 1.99])
    assert time_to_recover(backtest, 12) is None


async def test_a_stress_test_by_its_name_alone(settings: Settings) -> None:
    result = await environment(settings).run_stress_test("flash_crash")
    assert result["name"] == "Flash crash"
    assert [row["severity"] for row in result["stress"]["runs"]] == [0.5, 0.5, 0.75, 0.75, 1.0, 1.0]
    parameters = result["manifest"]["parameters"]
    assert parameters["given"]["start_date"] == "2011-03-02"
    assert parameters["defaults"]["symbols"] == list(SYMBOLS)
    assert parameters["defaults"]["strategy_type"] == "momentum"
    assert "2011-03-02 to 2013-03-01" in result["manifest"]["source"]
    with pytest.raises(ConfigError, match="nearest is 'flash_crash'"):
        await environment(settings).run_stress_test("flash_crsh")


async def test_betas_are_taken_to_a_named_benchmark(settings: Settings) -> None:
    asked = {"symbols": ["AAPL", "MSFT"], "severity_levels": [1.0], **PERIOD}
    found = {}
    for benchmark in (None, "IBM"):
        result = await environment(settings).run_stress_test("market_crash", {**asked, "benchmark": benchmark})
        found[benchmark] = result["stress"]["market"]["betas"]
        assert len(result["stress"]["baselines"]) == 2
    assert found[None] != found["IBM"]
    assert set(found["IBM"]) == {"AAPL.XNAS", "MSFT.XNAS"}


async def test_a_live_simulation_decides_what_the_backtest_decides(settings: Settings) -> None:
    tried, slices = trial(settings, top=2, position_size=0.45), rows_of(fetched())
    live = await simulate(tried, slices)
    plain = await asyncio.to_thread(tried.run, slices)
    assert len(plain.fills) > 20
    assert live.orders == plain.orders
    assert live.fills == plain.fills
    assert live.denials == plain.denials
    assert (live.times, live.equity) == (plain.times, plain.equity)
    assert live.result() == plain.result()
    with pytest.raises(ConfigError, match="fills at next_open, got fill rule next_close"):
        await simulate(replace(tried, plan=replace(tried.plan, fill="next_close")), slices)


async def test_a_live_simulation_keeps_its_pace_and_runs_a_registered_pool(settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    asked = scenario(SandboxMode.LIVE_SIMULATION, end_date="2012-01-20", pace=50.0, **IDLE)
    result = await environment(settings).run_test_scenario(asked)
    assert loop.time() - began >= (result["manifest"]["slices"] - 1) / 50
    assert (result["final_equity"], result["manifest"]["slices"]) == (1_000_000.0, 13)
    assert set(result["live"]["equity"]["equity"]) == {1_000_000.0}
    asked = scenario(SandboxMode.LIVE_SIMULATION, end_date="2012-03-30", lookback_period=5)
    result = await environment(settings).run_test_scenario(asked)
    assert result["live"]["fills"] > 0
    assert result["performance_metrics"]["total_return"] != 0


async def test_an_arm_against_itself_cannot_be_told_apart(settings: Settings) -> None:
    same = {"strategy_type": "momentum", "lookback_period": 5}
    asked = scenario(SandboxMode.AB_TEST, strategies=[same, {**same, "name": "again"}])
    result = await environment(settings).run_test_scenario(asked)
    found = result["ab_test"]
    assert (found["p_value"], found["better"], found["mean_daily_difference"]) == (1.0, None, 0.0)
    assert "cannot tell" in found["verdict"]
    assert found["effect_size"] is None
    other = scenario(SandboxMode.AB_TEST, strategies=[same, {**same, "parameters": {"top": 1}}])
    changed = (await environment(settings).run_test_scenario(other))["ab_test"]
    assert changed["annual_difference"] != 0
    assert changed["p_value"] < 1
    flat = await environment(settings).run_test_scenario(scenario(SandboxMode.AB_TEST, strategies=[IDLE, IDLE]))
    assert {value for arm in flat["ab_test"]["arms"] for value in arm["equity"]["equity"]} == {1_000_000.0}


def peeking(slices: Sequence[Sequence[Row]]) -> AgentPool:
    """Return a pool that holds what rises from tomorrow's open to the next one's."""
    pool = AgentPool("peeking", role="alpha")
    opens = [{row.instrument_id: row.open for row in rows if isinstance(row, Bar)} for rows in slices]
    numbers = {rows[0].ts_event: number for number, rows in enumerate(slices)}

    @pool.on
    def decide(slice_: Slice, run: Run) -> Iterator[Signal]:
        today = min(numbers[slice_.ts], len(opens) - 3)
        for name, price in opens[today + 1].items():
            gain = opens[today + 2][name] / price - 1
            said = "BUY" if gain > 0 else "SELL"
            yield run.signal(name, said, price=price, score=gain, confidence=1.0)

    return pool


def test_a_planted_better_arm_is_found(settings: Settings) -> None:
    slices = rows_of(fetched())
    plain = trial(settings, "equal_weight")
    strategy = replace(plain.plan.strategy, strategy_id="peeking", parameters={"position_size": 0.25})
    better = Trial(
        "peeking", replace(plain.plan, strategy=strategy, alpha_pool="peeking"), registered=(peeking(slices),)
    )
    for arms, name in (((plain, better), "B"), ((better, plain), "A")):
        result = run_ab(*arms, slices, AbOptions(resamples=500))
        found = result["ab_test"]
        assert found["better"] == name
        assert found["p_value"] < 0.01
        assert f"{name} (peeking) is better by" in found["verdict"]
        low, high = found["annual_interval"]
        assert low > 0 if name == "B" else high < 0
        assert found["days"] == 125
    assert result["ab_test"]["difference"]["day"][0] == "2012-01-03"
    one = np.array(result["ab_test"]["arms"][0]["equity"]["equity"])
    other = np.array(result["ab_test"]["arms"][1]["equity"]["equity"])
    returns = [np.diff(np.concatenate([[1e6], each])) / np.concatenate([[1e6], each[:-1]]) for each in (one, other)]
    assert found["mean_daily_difference"] == pytest.approx(np.mean(returns[1] - returns[0]))


SHORT = {"start": "2012-01-03", "end": "2012-03-30"}


def resampled(settings: Settings, kind: str = "momentum", **options: Any) -> Result:
    return run_monte_carlo(
        trial(settings, kind), rows_of(fetched(**SHORT)), MonteCarloOptions(**{"paths": 6, "seed": 3, **options})
    )


@pytest.fixture(scope="module")
def monte_carlo(settings: Settings) -> Result:
    return resampled(settings)


def test_the_same_seed_gives_the_same_bytes_in_any_number_of_processes(monte_carlo: Result, settings: Settings) -> None:
    assert strip(resampled(settings, workers=2)) == strip(monte_carlo)
    other = resampled(settings, seed=4)
    assert other["monte_carlo"]["final_values"] != monte_carlo["monte_carlo"]["final_values"]
    assert other["monte_carlo"]["real"] == monte_carlo["monte_carlo"]["real"]


def test_paths_change_with_the_strategy(monte_carlo: Result, settings: Settings) -> None:
    other = resampled(settings, "mean_reversion")
    for name in ("final_value", "total_return", "sharpe_ratio", "max_drawdown"):
        assert other["monte_carlo"]["distribution"][name] != monte_carlo["monte_carlo"]["distribution"][name], name
    assert other["monte_carlo"]["fan"] != monte_carlo["monte_carlo"]["fan"]


def test_the_distribution_is_that_of_the_paths(monte_carlo: Result, settings: Settings) -> None:
    found = monte_carlo["monte_carlo"]
    finals = np.array(found["final_values"])
    spread = found["distribution"]["final_value"]
    assert len(set(finals.tolist())) == 6
    assert spread["percentiles"]["50"] == np.percentile(finals, 50)
    assert spread["real_rank"] == np.mean(finals < spread["real"])
    assert found["probability_of_loss"] == np.mean(finals < 1_000_000)
    assert found["fan"]["percentiles"]["50"][-1] == np.percentile(finals, 50)
    plain = trial(settings).run(rows_of(fetched(**SHORT)))
    assert spread["real"] == plain.final_equity
    assert monte_carlo["performance_metrics"] == plain.metrics()
    manifest = monte_carlo["manifest"]
    assert (manifest["seed"], manifest["data"]) == (3, "real")
    assert manifest["derived"] == "synthetic: 6 paths of the source's bars, resampled with seed 3"


async def test_a_strategy_that_does_nothing_is_flat_on_every_path(settings: Settings) -> None:
    asked = scenario(SandboxMode.MONTE_CARLO, paths=3, end_date="2012-03-30", **IDLE)
    found = (await environment(settings).run_test_scenario(asked))["monte_carlo"]
    assert found["final_values"] == [1_000_000.0] * 3
    assert {value for band in found["fan"]["percentiles"].values() for value in band} == {1_000_000.0}
    assert found["probability_of_loss"] == 0
    assert found["distribution"]["sharpe_ratio"]["mean"] is None
    with pytest.raises(ConfigError, match=r"registered pools \(idle\) do not travel"):
        await environment(settings).run_monte_carlo({**PERIOD, "paths": 3, "workers": 2, **IDLE})


@pytest.mark.parametrize(
    ("mode", "change", "says"),
    [
        (SandboxMode.STRESS_TEST, {"severity_level": [1.0]}, "nearest is 'severity_levels'"),
        (SandboxMode.STRESS_TEST, {"stress_scenarios": ["rate_shok"]}, "nearest is 'rate_shock'"),
        (SandboxMode.STRESS_TEST, {"severity_levels": [0]}, "severity 0.0"),
        (SandboxMode.STRESS_TEST, {"strategies": [{"strategy_typ": "momentum"}]}, "nearest is 'strategy_type'"),
        (SandboxMode.STRESS_TEST, {"strategies": ["momentun"]}, "did you mean 'momentum'"),
        (SandboxMode.STRESS_TEST, {"benchmark": "SPY"}, "Unknown symbol 'SPY'"),
        (SandboxMode.STRESS_TEST, {"strategies": ["momentum", "momentum"]}, "repeat the name momentum"),
        (SandboxMode.AB_TEST, {"strategies": ["momentum"]}, "strategies"),
        (SandboxMode.AB_TEST, {"strategies": ["momentum"] * 2, "paths": 3}, "unknown key 'paths'"),
        (SandboxMode.AB_TEST, {"strategies": ["momentum"] * 2, "end_date": "2012-01-10"}, "20 days with returns"),
        (SandboxMode.MONTE_CARLO, {"path": 3}, "nearest is 'paths'"),
        (SandboxMode.MONTE_CARLO, {"paths": 0}, "paths"),
        (SandboxMode.LIVE_SIMULATION, {"pace": -1}, "pace"),
        (SandboxMode.HISTORICAL_BACKTEST, {"symbols": ["AAPL"], "pace": 1}, "unknown key 'pace'"),
        ("stress_tst", {}, "nearest is 'stress_test'"),
    ],
)
async def test_what_is_wrong_with_a_scenario_is_named(
    mode: SandboxMode, change: Result, says: str, settings: Settings
) -> None:
    with pytest.raises(FinAgentError, match=says):
        await environment(settings).run_test_scenario(scenario(mode, **change))


async def test_a_sandbox_that_is_off_refuses_everything() -> None:
    off = load(overrides={"orchestrator": {"enable_sandbox": False}}, environ={})
    sandbox = environment(off)
    calls = [
        sandbox.run_backtest({"symbols": ["AAPL"]}),
        sandbox.run_stress_test("market_crash"),
        *(sandbox.run_test_scenario(scenario(mode, symbols=SYMBOLS)) for mode in SandboxMode),
    ]
    for call in calls:
        with pytest.raises(ConfigError, match=r"orchestrator\.enable_sandbox is false"):
            await call
    await sandbox.cleanup()


async def test_a_scenario_that_names_no_start_begins_where_the_settings_say() -> None:
    asked = {"symbols": ["AAPL", "FB"], "end_date": "2012-07-31"}
    for start, first in (("2012-06-01", "2012-06-01"), ("", "2012-05-18")):
        set_ = load(overrides={"sandbox": {"data_start_date": start}}, environ={})
        result = await environment(set_).run_backtest(asked)
        assert f"{first} to 2012-07-31" in result["manifest"]["source"]
    with pytest.raises(ConfigError, match="data_start_date"):
        load(overrides={"sandbox": {"data_start_date": "2012-13-01"}}, environ={})


async def test_defaults_of_the_environment_reach_the_modes_that_know_them(settings: Settings) -> None:
    sandbox = environment(settings, {**PERIOD, "symbols": ["IBM"], "initial_capital": 5_000.0, "paths": 2})
    result = await sandbox.run_monte_carlo(IDLE)
    assert result["monte_carlo"]["final_values"] == [5_000.0] * 2
    assert (await sandbox.run_backtest({}))["manifest"]["rows"] == 125
    with pytest.raises(ConfigError, match="nearest is 'paths'"):
        environment(settings, {"pths": 2})
