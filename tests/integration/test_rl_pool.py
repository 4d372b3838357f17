"""The RL pool: it decides as the training environment does, by the version that a slice names, live and replayed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from agents.data.feed import Row
from agents.data.slicing import bar_slices
from agents.transaction_cost.model import CostModel
from orchestrator import FinAgentOrchestrator, TradingStrategy
from orchestrator.backtest import Backtest, BacktestPlan, following, run_backtest
from orchestrator.lookahead import check_lookahead
from orchestrator.market_log import closed_slices, rows_of
from orchestrator.policies import policies_of, publish
from orchestrator.replay import Replay
from orchestrator.settings import Settings, load
from orchestrator.wiring import pools_of_plan
from rl.env import TradingEnv
from rl.market import Market
from rl.policy import Policy
from rl.publishing import publication
from rl.rules import TradingRules
from rl.serving import SERVING
from schemas import CorporateAction, PolicyPublished, Signal, StrategyStarted
from streams.errors import ConfigError, FinAgentError, InvalidData, MissingData
from streams.record import Event
from streams.serde import Serde
from streams.tail import tail
from tests.policies import SYMBOLS, bars, market_of, metadata, random_policy
from tests.system.cluster import DECISIONS, decisions

RULES = TradingRules(costs=CostModel(commission_rate=0.001))


def settings_of(rules: TradingRules = RULES, **more: Any) -> Settings:
    limits = {"max_daily_loss": 1.0, "max_gross_exposure": 2.5, "allow_short": rules.allow_short}
    return load(overrides={"log_level": "WARNING", "risk": {"limits": limits}, **more}, environ={})


def strategy(symbols: Sequence[str] = SYMBOLS, **parameters: Any) -> TradingStrategy:
    return TradingStrategy(
        strategy_id="trained",
        name="Trained",
        symbols=list(symbols),
        rebalance_frequency="bar",
        parameters={"strategy_type": "rl", "policy_id": "p", "rebalance_band": 0.0, **parameters},
    )


def published(seen: Market, rules: TradingRules = RULES, seed: int = 1, version: int = 1) -> PolicyPublished:
    return publication(random_policy(seen, rules, seed).pack(metadata(seen, rules)), "p", version, 0)


def plan_of(fetched: Any, policies: Sequence[PolicyPublished], rules: TradingRules, **parameters: Any) -> BacktestPlan:
    return BacktestPlan(
        strategy=strategy(**parameters),
        instruments=fetched.instruments,
        settings=settings_of(rules),
        source=fetched.provider,
        initial_cash=rules.initial_cash,
        fill=rules.fill,
        alpha_pool="rl",
        policies=tuple(policies),
    )


def slices_of(fetched: Any) -> list[Sequence[Row]]:
    return list(bar_slices([bar for block in fetched.blocks for bar in block.bars()]))


async def backtest(plan: BacktestPlan, fetched: Any) -> Backtest:
    return await run_backtest(plan, following(slices_of(fetched)), pools_of_plan(plan))


@pytest.mark.parametrize("short", [False, True])
async def test_a_policy_earns_in_the_backtest_what_it_earns_in_its_environment(short: bool) -> None:
    rules = RULES.model_copy(update={"allow_short": short})
    fetched = bars()
    seen = market_of(fetched)
    made = published(seen, rules)
    policy, _ = Policy.unpack(made.weights)
    env = TradingEnv(seen, rules)
    observation, _ = env.reset(seed=0)
    equity = [rules.initial_cash]
    for _ in range(len(seen) - 1):
        observation, *_, info = env.step(policy.act(observation[np.newaxis])[0])
        equity.append(info["equity"])
    limits = {"limits": {"allow_short": True}} if short else {}
    done = await backtest(plan_of(fetched, [made], rules, **limits), fetched)
    assert done.denials == []
    own = np.array(done.equity)[np.searchsorted(np.array(done.times), seen.panel.times)]
    assert np.array(equity) == pytest.approx(own, rel=1e-9, abs=0)
    assert len(done.fills) > len(seen)
    assert done.manifest()["config"]["policies"] == [{"policy_id": "p", "version": 1, "sha256": made.sha256}]
    assert check_lookahead(done.plan, slices_of(fetched), lambda _: pools_of_plan(done.plan), cuts=2) == []


async def test_the_topic_swaps_the_policy_of_a_live_run_and_a_replay_decides_the_same() -> None:
    fetched = bars()
    seen, slices = market_of(fetched), slices_of(fetched)
    first, second = (random_policy(seen, RULES, seed).pack(metadata(seen, RULES)) for seed in (1, 2))
    half = 100
    live = FinAgentOrchestrator(settings=settings_of())
    await live.initialize()
    try:
        await live.initialize_rl_engine()
        await publish(live.broker, live.serde, live.clock, first, "p")
        async with tail(live.broker, live.serde, DECISIONS) as followed:
            feed = await live.feed()
            run = await live.start_strategy(strategy(), check_history=False, run_id="r", initial_cash=1e6)
            await feed.publish(slices[:half])
            assert (await publish(live.broker, live.serde, live.clock, second, "p")).version == 2
            assert (await publish(live.broker, live.serde, live.clock, second, "p")).version == 2, "it is there already"
            await feed.publish(slices[half:])
            await followed.slice_done(feed.state.last_slice, live.partitions, 60)
        signals = [event.message for event in followed.events if isinstance(event.message, Signal)]
        swapped = max(row.ts_event for row in slices[half])
        assert {each.model for each in signals if each.ts_event < swapped} == {"p@1"}
        assert {each.model for each in signals if each.ts_event >= swapped} == {"p@2"}
        assert await replayed(live, run) == decisions(followed.events)
    finally:
        await live.shutdown()


async def replayed(live: FinAgentOrchestrator, run: StrategyStarted) -> dict[str, bytes]:
    """Replay what stands on the log; return its decisions."""
    found: dict[str, bytes] = {}
    serde = Serde()

    def note(topic: str, event: Event) -> None:
        if topic in DECISIONS:
            found[f"{topic} {event.envelope.message_id}"] = serde.encode(event.message)

    policies = await policies_of(live.broker, live.serde)
    plan = dataclasses.replace(plan_of(bars(), policies, RULES), settings=live.settings)
    replay = Replay(pools_of_plan(plan), [run], note, policies)
    async for work in closed_slices(live.broker, live.serde):
        replay.slice(rows_of(work.events), work.switches, ts=work.slice, active=work.runs, policies=work.policies)
    return found


async def test_a_named_version_decides_whatever_comes_after_it() -> None:
    fetched = bars()
    seen = market_of(fetched)
    old, new = published(seen, seed=1, version=1), published(seen, seed=2, version=2)
    alone = await backtest(plan_of(fetched, [old], RULES), fetched)
    newest = await backtest(plan_of(fetched, [old, new], RULES), fetched)
    by_version = await backtest(plan_of(fetched, [old, new], RULES, version=1), fetched)
    by_hash = await backtest(plan_of(fetched, [old, new], RULES, sha256=old.sha256), fetched)
    assert by_version.equity == by_hash.equity == alone.equity
    assert newest.equity != alone.equity
    with pytest.raises(FinAgentError, match=r"policy 'p' has no version 3 on rl.policies, there are \[1, 2\]"):
        await backtest(plan_of(fetched, [old, new], RULES, version=3), fetched)


async def test_a_split_changes_no_decision() -> None:
    fetched = bars()
    seen = market_of(fetched)
    plan, cut = plan_of(fetched, [published(seen)], RULES), 100
    slices = slices_of(fetched)
    ratio, name = 2.0, seen.panel.instrument_ids[0]
    after = slices[cut][0]
    action = CorporateAction(
        instrument_id=name,
        kind="split",
        ratio=ratio,
        ex_date=after.session_date,  # type: ignore[union-attr]
        ts_event=after.ts_open,  # type: ignore[union-attr]
        source=after.source,
        synthetic=False,
    )
    halved = [[_halved(row, ratio) if row.instrument_id == name else row for row in rows] for rows in slices[cut:]]
    raw = [[row.model_copy(update={"adjustment": "raw"}) for row in rows] for rows in [*slices[:cut], *halved]]  # type: ignore[union-attr]
    raw[cut] = [action, *raw[cut]]
    weights: list[list[float]] = []
    for rows in (slices, raw):
        found: list[Signal] = []

        def note(topic: str, event: Event, found: list[Signal] = found) -> None:
            found += [event.message] if isinstance(event.message, Signal) else []

        replay = Replay(pools_of_plan(plan), [plan.run()], note, plan.policies)
        for each in rows:
            replay.slice(each)
        weights.append([signal.target_weight or 0.0 for signal in found])
    assert weights[1] == pytest.approx(weights[0], rel=1e-4)
    assert len(weights[0]) > 200


def _halved(row: Any, ratio: float) -> Any:
    prices = {name: getattr(row, name) / ratio for name in ("open", "high", "low", "close")}
    return row.model_copy(update={**prices, "volume": row.volume * ratio})


@pytest.mark.parametrize(
    ("changed", "asked", "why"),
    [
        ({}, {"symbols": ["AAPL", "IBM"]}, r"trades exactly what it was trained on .*: missing MSFT.XNAS"),
        ({}, {"symbols": ["AAPL", "IBM", "MSFT", "GOOGL"]}, r"unknown to it GOOGL"),
        ({}, {"policy_id": "q"}, r"policy 'q': any version is not on rl.policies; versions there: none"),
        ({}, {"version": 7}, r"policy 'p': version 7 is not on rl.policies; versions there: 1"),
        ({}, {"polcy": 1}, r"Unknown parameter 'polcy'"),
        ({"rules": {"allow_short": True}}, {}, r"sells short: set limits.allow_short"),
    ],
)
async def test_what_cannot_be_served_is_refused_before_the_run_starts(
    changed: dict[str, Any], asked: dict[str, Any], why: str
) -> None:
    seen = market_of(bars())
    rules = RULES.model_copy(update=changed.get("rules", {}))
    live = FinAgentOrchestrator(settings=settings_of())
    await live.initialize()
    try:
        data = random_policy(seen, rules, 1).pack(metadata(seen, rules))
        await publish(live.broker, live.serde, live.clock, data, "p")
        wanted = strategy(asked.pop("symbols", SYMBOLS), **asked)
        with pytest.raises(FinAgentError, match=why):
            await live.start_strategy(wanted, check_history=False)
        assert live.client.accounts == {}
    finally:
        await live.shutdown()


def test_a_file_that_does_not_fit_what_it_says_is_no_publication() -> None:
    seen = market_of(bars())
    policy, told = random_policy(seen, RULES, 1), metadata(seen, RULES)
    with pytest.raises(InvalidData, match="does not say what it was trained to see"):
        publication(policy.pack({}), "p", 1, 0)
    fewer = {**told[SERVING], "instruments": ["AAPL.XNAS", "IBM.XNYS"]}
    with pytest.raises(InvalidData, match=r"2 instruments with the features return_1, .* need"):
        publication(policy.pack({SERVING: fewer}), "p", 1, 0)
    none = {**told[SERVING], "indicators": {**told[SERVING]["indicators"], "rsi": 0}}
    with pytest.raises(InvalidData, match=r"serving.indicators.rsi: Input should be greater than or equal to 2"):
        publication(policy.pack({SERVING: none}), "p", 1, 0)
    shorts = {**told[SERVING], "rules": {**told[SERVING]["rules"], "allow_short": True}}
    with pytest.raises(InvalidData, match=r"its rules say -1 to 1"):
        publication(policy.pack({SERVING: shorts}), "p", 1, 0)
    large = random_policy(seen, RULES, 1, hidden=(512, 512)).pack(told)
    with pytest.raises(InvalidData, match="700,000 can be served: use a smaller net_arch"):
        publication(large, "p", 1, 0)


async def test_a_version_that_sees_another_market_stops_the_run_with_a_reason() -> None:
    fetched = bars()
    seen = market_of(fetched)
    other = Market.of(seen.panel, seen.indicators.model_copy(update={"rsi": 10}))
    plan = plan_of(fetched, [published(seen, version=1), published(other, version=2)], RULES)
    replay = Replay(pools_of_plan(plan), [plan.run()], lambda topic, event: None, plan.policies)
    slices = slices_of(fetched)
    for rows in slices[:70]:
        replay.slice(rows, policies=[plan.policies[0].in_force()])
    with pytest.raises(FinAgentError, match=r"this version of the policy sees .* start a new run"):
        replay.slice(slices[70])


async def test_a_version_that_the_topic_let_go_is_named() -> None:
    fetched = bars()
    seen = market_of(fetched)
    plan = plan_of(fetched, [published(seen, version=2)], RULES)
    replay = Replay(pools_of_plan(plan), [plan.run()], lambda topic, event: None, plan.policies)
    gone = published(seen, seed=5, version=1).in_force()
    with pytest.raises(
        FinAgentError, match=rf"version 1 of policy 'p' \(SHA-256 {gone.sha256}\) is not on rl.policies"
    ):
        replay.slice(slices_of(fetched)[0], policies=[gone])


async def test_the_pool_is_off_where_rl_is() -> None:
    fetched = bars()
    plan = plan_of(fetched, [published(market_of(fetched))], RULES)
    off = settings_of(orchestrator={"enable_rl": False})
    with pytest.raises(ConfigError, match="enable_rl is false"):
        pools_of_plan(dataclasses.replace(plan, settings=off))
    live = FinAgentOrchestrator(settings=off)
    await live.initialize()
    try:
        with pytest.raises(ConfigError, match="enable_rl is false"):
            await live.initialize_rl_engine()
        with pytest.raises(MissingData):
            await live.start_strategy(strategy(), check_history=False)
    finally:
        await live.shutdown()
