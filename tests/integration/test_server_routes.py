"""The routes of the server in front of a whole system in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestrator.facade import FinAgentOrchestrator
from schemas import PolicyPublished
from streams.record import Envelope, Record
from streams.serde import Serde
from tests.server import FETCH, RUN, STRATEGY, asgi, half_year, settings_in, submitted, until


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with asgi(settings_in(tmp_path)) as client:
        yield client


@pytest.fixture
async def traded(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A system in which one run has traded half a year."""
    async with asgi(settings_in(tmp_path), feed=half_year()) as client:
        await submitted(client, RUN, "active")
        await until(client, "/status", lambda status: status["feed"]["status"] == "completed")
        # The last slice is through once the account's state tells of it.
        await until(client, "/positions", lambda page: page["items"][0]["updated"].startswith("2012-06-29"))
        yield client


def of(answer: httpx.Response, status: int) -> Any:
    assert answer.status_code == status, answer.text
    kind = "application/json" if status < 400 else "application/problem+json"
    assert answer.headers["content-type"] == kind
    if status >= 400:
        assert answer.json()["status"] == status
    return answer.json()


async def test_health_and_status_tell_how_the_system_stands(api: httpx.AsyncClient) -> None:
    health = await until(api, "/health", lambda answer: answer["status"] == "healthy")
    assert health["reasons"] == []
    status = of(await api.get("/status"), 200)
    assert status["broker"] == "in memory, one process"
    assert status["workflows"] == {"running": 0, "completed": 0, "failed": 0, "cancelled": 0}
    assert {task["pool"] for task in status["pools"]} >= {"alpha", "portfolio", "risk", "execution", "orchestrator"}
    assert status["feed"] is None
    assert status["metrics"]["success_rate"] is None


async def test_an_evaluation_gives_the_documented_result(api: httpx.AsyncClient) -> None:
    answer = await api.post("/strategies", json=STRATEGY)
    first = of(answer, 202)
    assert (first["status"], first["result"], answer.headers["location"]) == ("running", None, "/strategies/trend")
    done = await until(api, "/strategies/trend", lambda each: each["status"] != "running")
    assert done["status"] == "completed"
    assert {signal["symbol"] for signal in done["result"]["signals"]} == {"AAPL", "GOOGL", "MSFT"}
    assert set(done["result"]["risk_metrics"]) >= {"var_95", "max_drawdown", "volatility", "sharpe_ratio"}
    assert done["definition"]["parameters"] == STRATEGY["parameters"]
    (listed,) = of(await api.get("/strategies"), 200)["items"]
    assert (listed["status"], listed["result"]) == ("completed", None)
    metrics = of(await api.get("/status"), 200)["metrics"]
    assert (metrics["total_executed"], metrics["success_rate"]) == (1, 1.0)


async def test_a_failed_evaluation_says_why(api: httpx.AsyncClient) -> None:
    failed = await submitted(api, {**STRATEGY, "symbols": ["NOPE"]}, "failed")
    assert "NOPE" in failed["error"]
    assert failed["result"] is None


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"symbols": []}, "symbols"),
        ({"symbols": ["AAPL", "AAPL"]}, "repeats AAPL"),
        ({"lookback_period": 0}, "lookback_period"),
        ({"rebalance_frequency": "hourly"}, "rebalance_frequency"),
        ({"parameters": {"momentum_treshold": 0.1}}, "did you mean 'momentum_threshold'"),
        ({"parameters": {"strategy_type": "astrology"}}, "astrology"),
        ({"colour": "red"}, "colour"),
        ({"strategy_id": "a/b"}, "strategy_id"),
        ({"initial_cash": -1}, "initial_cash"),
        ({"history_end": "yesterday"}, "history_end"),
        ({"history_end": "2012-13-45"}, "history_end"),
        ({"action": "dance"}, "action"),
    ],
)
async def test_a_wrong_strategy_is_refused_and_the_answer_names_the_field(
    api: httpx.AsyncClient, changed: dict[str, Any], why: str
) -> None:
    problem = of(await api.post("/strategies", json={**STRATEGY, **changed}), 422)
    assert why in problem["detail"]
    assert of(await api.get("/strategies"), 200)["items"] == []


async def test_the_same_definition_again_is_the_same_strategy_while_it_works(api: httpx.AsyncClient) -> None:
    answers = [of(await api.post("/strategies", json=STRATEGY), 202) for _ in range(3)]
    assert len({answer["workflow_id"] for answer in answers}) == 1
    await until(api, "/strategies/trend", lambda each: each["status"] == "completed")
    again = of(await api.post("/strategies", json=STRATEGY), 202)
    assert again["workflow_id"] != answers[0]["workflow_id"]


async def test_another_definition_of_a_running_strategy_is_a_conflict(api: httpx.AsyncClient) -> None:
    await submitted(api, RUN, "active")
    problem = of(await api.post("/strategies", json={**RUN, "lookback_period": 6}), 409)
    assert "rotation" in problem["detail"]
    assert of(await api.post("/strategies", json=RUN), 202)["status"] == "active"
    of(await api.delete("/strategies/rotation"), 200)
    assert of(await api.post("/strategies", json={**RUN, "lookback_period": 6}), 202)["status"] == "running"


async def test_an_idempotency_key_makes_one_of_many(api: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "mine-1"}
    answers = [of(await api.post("/strategies", json=STRATEGY, headers=key), 202) for _ in range(2)]
    await until(api, "/strategies/trend", lambda each: each["status"] == "completed")
    answers.append(of(await api.post("/strategies", json=STRATEGY, headers=key), 202))
    assert len({answer["workflow_id"] for answer in answers}) == 1
    for other in ({**STRATEGY, "lookback_period": 21}, {**STRATEGY, "strategy_id": "other"}):
        assert "mine-1" in of(await api.post("/strategies", json=other, headers=key), 409)["detail"]
    assert len(of(await api.get("/workflows"), 200)["items"]) == 1
    workflow = {"steps": [FETCH]}
    first = of(await api.post("/workflows", json=workflow, headers=key), 202)["workflow_id"]
    assert of(await api.post("/workflows", json=workflow, headers=key), 202)["workflow_id"] == first
    of(await api.post("/workflows", json={"steps": [FETCH, FETCH]}, headers=key), 409)
    of(await api.post("/strategies", json=STRATEGY, headers={"Idempotency-Key": "with space"}), 422)


async def test_a_workflow_runs_once(api: httpx.AsyncClient) -> None:
    body = {"workflow_id": "w", "steps": [FETCH, {**FETCH, "step_id": "again", "depends_on": []}]}
    answer = await api.post("/workflows", json=body)
    assert (of(answer, 202)["status"], answer.headers["location"]) == ("running", "/workflows/w")
    done = await until(api, "/workflows/w", lambda each: each["status"] == "completed")
    assert [step["step_id"] for step in done["steps"]] == ["1_fetch_market_data", "again"]
    assert done["steps"][0]["result"]["source"] == "sample:bokeh-sampledata"
    again = of(await api.post("/workflows", json=body), 202)
    assert (again["status"], again["updated"]) == ("completed", done["updated"])
    of(await api.post("/workflows", json={**body, "steps": [FETCH]}), 409)
    (listed,) = of(await api.get("/workflows", params={"status": "completed"}), 200)["items"]
    assert {step["result"] for step in listed["steps"]} == {None}
    assert of(await api.get("/workflows", params={"status": "failed"}), 200)["items"] == []


@pytest.mark.parametrize(
    ("steps", "why"),
    [
        ([], "steps"),
        ([{**FETCH, "agent_pool": "dta_agent_pool"}], "'data_agent_pool'"),
        ([{**FETCH, "action": "fetch"}], "fetch_market_data"),
        ([{**FETCH, "depends_on": ["nothing"]}], "nothing"),
        ([{**FETCH, "step_id": "a", "depends_on": ["b"]}, {**FETCH, "step_id": "b", "depends_on": ["a"]}], "cycle"),
        ([{**FETCH, "timeout_s": 0}], "timeout_s"),
    ],
)
async def test_an_impossible_workflow_is_refused(api: httpx.AsyncClient, steps: list[Any], why: str) -> None:
    assert why in of(await api.post("/workflows", json={"steps": steps}), 422)["detail"]


async def test_what_is_not_there_is_not_found(api: httpx.AsyncClient) -> None:
    for path in ("/strategies/x", "/strategies/x/equity", "/workflows/x", "/backtest/x", "/backtest/x/report", "/x"):
        of(await api.get(path), 404)
    of(await api.get("/trace/1234"), 404)
    for path in ("/strategies/x", "/workflows/x"):
        of(await api.delete(path), 404)
    of(await api.put("/strategies/x"), 405)


async def test_a_run_trades_and_everything_can_be_read(traded: httpx.AsyncClient) -> None:
    fills = of(await traded.get("/fills", params={"limit": 1000}), 200)["items"]
    assert fills
    assert [fill["time"] for fill in fills] == sorted((fill["time"] for fill in fills), reverse=True)
    assert {fill["synthetic"] for fill in fills} == {False}
    orders = {order["order_id"]: order for order in of(await traded.get("/orders?limit=1000"), 200)["items"]}
    for fill in fills:
        assert orders[fill["order_id"]]["instrument_id"] == fill["instrument_id"]
    whole = [fill for fill in fills if fill["leaves_quantity"] == 0]
    assert {orders[fill["order_id"]]["status"] for fill in whole} == {"filled"}
    assert all(orders[fill["order_id"]]["filled_quantity"] == fill["cumulative_quantity"] for fill in whole)
    assert of(await traded.get("/signals"), 200)["next"]
    run_id = fills[0]["run_id"]
    assert of(await traded.get("/fills", params={"run_id": run_id}), 200)["items"][0] == fills[0]
    assert of(await traded.get("/fills", params={"run_id": "x"}), 200)["items"] == []
    apple = of(await traded.get("/fills?instrument_id=AAPL.XNAS&limit=1000"), 200)["items"]
    assert apple == [fill for fill in fills if fill["instrument_id"] == "AAPL.XNAS"]


async def test_the_account_adds_up(traded: httpx.AsyncClient) -> None:
    (account,) = of(await traded.get("/positions"), 200)["items"]
    held = sum(position["value"] for position in account["positions"])
    assert account["cash"] + held == pytest.approx(account["equity"], rel=1e-12)
    assert sum(position["weight"] for position in account["positions"]) == pytest.approx(held / account["equity"])
    (risk,) = of(await traded.get("/risk"), 200)["items"]
    assert risk["gross_exposure"] == pytest.approx(held / account["equity"])
    assert risk["limits"]["max_gross_exposure"] == 1.0
    curve = of(await traded.get("/strategies/rotation/equity?points=10000"), 200)["items"]
    assert (curve[0]["equity"], curve[-1]["equity"]) == (100_000.0, account["equity"])
    assert len(curve) == 125  # sessions of New York from 2012-01-03 to 2012-06-29
    few = of(await traded.get("/strategies/rotation/equity?points=3"), 200)["items"]
    assert few == [curve[0], curve[62], curve[-1]]


async def test_a_fill_is_traced_to_its_row(traded: httpx.AsyncClient) -> None:
    fill = of(await traded.get("/fills?limit=1"), 200)["items"][0]
    chain = of(await traded.get(f"/trace/{fill['id']}"), 200)["items"]
    assert [link["role"] for link in chain][:2] == ["fill", "matched on"]
    assert {"order", "signal", "run", "workflow"} <= {link["role"] for link in chain}
    assert chain[1]["topic"] == "bars"


async def test_topics_and_the_feed_are_told(traded: httpx.AsyncClient) -> None:
    page = await until(traded, "/topics", lambda page: any(topic["lag"] for topic in page["items"]))
    topics = {topic["name"]: topic for topic in page["items"]}
    assert topics["bars"]["end"] == 125 * 4  # three bars and a closing a slice
    assert topics["positions"]["compacted"]
    assert set(topics["bars"]["lag"]) == {"alpha.0", "portfolio.0", "risk.0", "execution.0"}
    feed = of(await traded.get("/status"), 200)["feed"]
    assert (feed["published"], feed["rows"], feed["synthetic"]) == (375, 375, False)
    assert feed["last"].startswith("2012-06-29")


async def test_pages_join_to_the_whole_list(traded: httpx.AsyncClient) -> None:
    whole = of(await traded.get("/signals", params={"limit": 1000}), 200)
    assert whole["next"] is None
    pages: list[Any] = []
    cursor: dict[str, str] = {}
    while True:
        page = of(await traded.get("/signals", params={"limit": 7, **cursor}), 200)
        pages += page["items"]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert pages == whole["items"]
    for path in ("/signals", "/strategies", "/workflows", "/dead-letters", "/positions", "/backtest"):
        of(await traded.get(path, params={"cursor": "yesterday"}), 422)
        of(await traded.get(path, params={"limit": 0}), 422)
        of(await traded.get(path, params={"limit": 1001}), 422)


async def test_strategies_and_workflows_are_paged_too(api: httpx.AsyncClient) -> None:
    names = [f"s{number}" for number in range(5)]
    for name in names:
        await submitted(api, {**STRATEGY, "strategy_id": name}, "completed")
    first = of(await api.get("/strategies?limit=2"), 200)
    second = of(await api.get("/strategies", params={"limit": 3, "cursor": first["next"]}), 200)
    assert [each["strategy_id"] for each in first["items"] + second["items"]] == names[::-1]
    assert second["next"] is None
    page = of(await api.get("/workflows?limit=4"), 200)
    rest = of(await api.get("/workflows", params={"cursor": page["next"]}), 200)
    assert len({each["workflow_id"] for each in page["items"] + rest["items"]}) == 5


async def test_a_deleted_run_stops_and_its_record_stays(traded: httpx.AsyncClient) -> None:
    stopped = of(await traded.delete("/strategies/rotation", params={"reason": "enough"}), 200)
    assert stopped["status"] == "stopped"
    assert of(await traded.get("/strategies/rotation"), 200)["status"] == "stopped"
    assert of(await traded.get("/status"), 200)["active_strategies"] == 0
    again = of(await traded.delete("/strategies/rotation"), 200)
    assert again["status"] == "stopped"
    open_orders = [o for o in of(await traded.get("/orders?limit=1000"), 200)["items"] if o["status"] == "accepted"]
    assert open_orders == []


async def test_a_waiting_workflow_is_cancelled(api: httpx.AsyncClient) -> None:
    # A pool that the settings name and that nobody runs: its step waits.
    steps = [{"agent_pool": "data_agent_pool", "action": "fetch_market_data", "parameters": {"symbols": ["AAPL"]}}]
    of(await api.post("/workflows", json={"workflow_id": "w", "steps": steps}), 202)
    await until(api, "/workflows/w", lambda each: each.get("status") == "completed")
    assert of(await api.delete("/workflows/w"), 200)["status"] == "completed"


async def test_the_kill_switch_denies_and_releases(traded: httpx.AsyncClient) -> None:
    (account,) = of(await traded.get("/risk"), 200)["items"]
    body = {"account_id": account["account_id"], "active": True, "reason": "looks wrong"}
    assert of(await traded.post("/kill-switch", json=body), 200)["changed"] == [account["account_id"]]
    halted = await until(traded, "/risk", lambda page: page["items"][0]["kill_switch"])
    assert halted["items"][0]["reason"] == "looks wrong"
    assert of(await traded.post("/kill-switch", json=body), 200)["changed"] == []
    assert of(await traded.post("/kill-switch", json={"all": True, "active": False, "reason": "fine"}), 200)["changed"]
    await until(traded, "/risk", lambda page: not page["items"][0]["kill_switch"])
    run = {"run_id": account["run_id"], "active": True, "reason": "r"}
    assert of(await traded.post("/kill-switch", json=run), 200)["changed"] == [account["account_id"]]
    for wrong, status in (
        ({"active": True, "reason": "r"}, 422),
        ({**body, "all": True}, 422),
        ({**body, "reason": ""}, 422),
        ({"account_id": "nobody", "active": True, "reason": "r"}, 404),
        ({"run_id": "none", "active": True, "reason": "r"}, 404),
    ):
        of(await traded.post("/kill-switch", json=wrong), status)


async def test_templates_make_strategies_that_are_accepted(api: httpx.AsyncClient) -> None:
    templates = of(await api.get("/templates"), 200)["items"]
    assert {"momentum", "pairs", "risk_parity"} <= {each["name"] for each in templates}
    for template in templates:
        filled = {name: each["default"] for name, each in template["parameters"].items() if each["default"] is not None}
        limits = {"limits": {"allow_short": True}} if template["needs_short"] else {}
        body = {
            "strategy_id": template["name"],
            "name": template["title"],
            "symbols": template["symbols"][:2],
            "parameters": {"strategy_type": template["strategy_type"], **filled, **limits},
        }
        of(await api.post("/strategies", json=body), 202)
    momentum = next(each for each in templates if each["name"] == "momentum")["parameters"]["momentum_threshold"]
    assert (momentum["type"], momentum["default"], momentum["min"]) == ("float", 0.02, 0.0)


async def test_policies_are_listed_without_their_weights(api: httpx.AsyncClient) -> None:
    assert of(await api.get("/policies"), 200)["items"] == []
    orchestrator: FinAgentOrchestrator = api.app.state.services.orchestrator  # type: ignore[attr-defined]
    for version in (1, 2):
        policy = PolicyPublished(
            policy_id="p",
            version=version,
            algorithm="TD3",
            training_id="t",
            weights=b"\x00" * 8,
            sha256="af5570f5a1810b7af78caf4bc70a660f0df51e42baf91d4de5b2328de0e83dfc",
            metadata={"sharpe_ratio": 1.5},
            ts_event=version,
        )
        envelope = Envelope(f"m{version}", "PolicyPublished", "rl", version, "t", "t")
        await orchestrator.broker.publish([Record("rl.policies", "p", Serde().encode(policy), envelope.headers())])
    page = await until(api, "/policies", lambda page: page["items"] and page["items"][0]["version"] == 2)
    assert page["items"] == [
        {
            "policy_id": "p",
            "version": 2,
            "algorithm": "TD3",
            "training_id": "t",
            "sha256": "af5570f5a1810b7af78caf4bc70a660f0df51e42baf91d4de5b2328de0e83dfc",
            "bytes": 8,
            "metadata": {"sharpe_ratio": 1.5},
            "time": "1970-01-01T00:00:00.000000002Z",
        }
    ]


async def test_dead_letters_are_listed_with_their_reason(api: httpx.AsyncClient) -> None:
    orchestrator: FinAgentOrchestrator = api.app.state.services.orchestrator  # type: ignore[attr-defined]
    await orchestrator.broker.publish([Record("commands", "k", b"no avro")])
    page = await until(api, "/dead-letters", lambda page: page["items"])
    (letter,) = page["items"]
    assert (letter["topic"], letter["source_topic"], letter["source_offset"]) == ("commands.dlq", "commands", 0)
    assert "no Avro framing" in letter["reason"]
    assert letter["preview"] == b"no avro".hex()
    assert of(await api.get("/dead-letters?topic=commands"), 200)["items"] == [letter]
    assert of(await api.get("/dead-letters?topic=bars"), 200)["items"] == []


async def test_as_many_workflows_as_configured_are_let_in(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, orchestrator={"max_concurrent_tasks": 1})
    async with asgi(settings) as api:
        bodies = [{**STRATEGY, "strategy_id": f"s{number}"} for number in range(3)]
        answers = await asyncio.gather(*(api.post("/strategies", json=body) for body in bodies))
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [202, 429, 429]
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert "max_concurrent_tasks" in of(refused, 429)["detail"]
        assert int(refused.headers["retry-after"]) >= 1
        name = next(answer for answer in answers if answer.status_code == 202).json()["strategy_id"]
        await until(api, f"/strategies/{name}", lambda each: each["status"] == "completed")
        for number, answer in enumerate(answers):
            if answer.status_code == 429:
                of(await api.get(f"/strategies/s{number}"), 404)
        assert (await api.post("/strategies", json={**STRATEGY, "strategy_id": "later"})).status_code == 202


async def test_what_is_switched_off_is_forbidden(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, orchestrator={"enable_rl": False, "enable_sandbox": False})
    async with asgi(settings) as api:
        assert "enable_rl" in of(await api.get("/policies"), 403)["detail"]
        for answer in (await api.get("/backtest"), await api.post("/backtest", json={}), await api.get("/backtest/x")):
            assert "enable_sandbox" in of(answer, 403)["detail"]


async def test_the_memory_is_asked(api: httpx.AsyncClient) -> None:
    await submitted(api, STRATEGY, "completed")
    page = await until(api, "/memory?topic=commands", lambda page: page.get("items"))
    (event,) = page["items"]
    assert (event["type"], event["topic"]) == ("ExecuteStrategy", "commands")
    assert of(await api.get("/memory", params={"id": event["message_id"]}), 200)["items"] == [event]
    first = of(await api.get("/memory?limit=1"), 200)
    older = of(await api.get("/memory", params={"limit": 1000, "cursor": first["next"]}), 200)["items"]
    assert first["items"][0] not in older
    assert older
    assert of(await api.get("/memory?end=2001-01-01T00:00:00Z"), 200)["items"] == []
    assert "then" in of(await api.get("/memory?start=then"), 422)["detail"]


async def test_a_server_that_stops_takes_nothing_more(api: httpx.AsyncClient) -> None:
    of(await api.post("/shutdown"), 202)
    assert "shutting down" in of(await api.post("/strategies", json=STRATEGY), 503)["detail"]
    of(await api.get("/strategies"), 200)
