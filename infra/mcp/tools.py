"""The tools: submit a strategy, run a backtest, ask how things stand, query memory, explain a decision."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import quote

from mcp.server.mcpserver import MCPServer
from mcp.types import ToolAnnotations
from pydantic import Field

from infra.mcp.api import Api

MAX_WAIT_S = 300.0
INSTRUCTIONS = (
    "Trading research and paper trading. Strategies are evaluated once (action evaluate) or run on live data until "
    "they are stopped (action run); orders are paper orders. Figures come with their source: real or synthetic data."
)
_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_ACTS = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)
_STOPS = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)
_STRATEGY_ENDED = frozenset({"active", "completed", "failed", "cancelled", "stopped"})
_BACKTEST_ENDED = frozenset({"completed", "failed"})

Wait = Annotated[float, Field(ge=0, le=MAX_WAIT_S, description="How long to wait for the end, in seconds.")]
Limit = Annotated[int, Field(ge=1, le=1000, description="Newest rows to return.")]
Symbols = Annotated[list[str], Field(min_length=1, description="Such as AAPL, or AAPL.XNAS.")]


def server_of(api: Api) -> MCPServer:
    """Return the MCP server whose tools call the API."""
    server = MCPServer("finagent", instructions=INSTRUCTIONS)
    _add_strategies(server, api)
    _add_research(server, api)
    _add_questions(server, api)
    return server


def _add_strategies(server: MCPServer, api: Api) -> None:
    @server.tool(annotations=_ACTS)
    async def submit_strategy(
        strategy_id: str,
        symbols: Symbols,
        strategy_type: str = "momentum",
        parameters: dict[str, Any] | None = None,
        lookback_period: int = 20,
        rebalance_frequency: Literal["bar", "daily", "weekly", "monthly", "quarterly"] = "daily",
        action: Literal["evaluate", "run"] = "evaluate",
        initial_cash: float | None = None,
        history_end: str = "",
        wait_s: Wait = 30.0,
    ) -> dict[str, Any]:
        """Evaluate a strategy as of the last bar, or put it on live data until it is stopped; return its status."""
        given = {
            "strategy_id": strategy_id,
            "name": strategy_id,
            "symbols": symbols,
            "lookback_period": lookback_period,
            "rebalance_frequency": rebalance_frequency,
            "parameters": {"strategy_type": strategy_type, **(parameters or {})},
            "action": action,
        }
        optional = {"initial_cash": initial_cash, "history_end": history_end or None}
        await api.post("/strategies", given | {name: value for name, value in optional.items() if value is not None})
        return await api.settled(f"/strategies/{_part(strategy_id)}", _STRATEGY_ENDED, wait_s)

    @server.tool(annotations=_READS)
    async def list_strategies(limit: Limit = 100) -> dict[str, Any]:
        """Return the strategies that were submitted and how they stand, newest first."""
        return await api.get("/strategies", limit=limit)

    @server.tool(annotations=_READS)
    async def strategy_templates() -> dict[str, Any]:
        """Return the strategy types with their parameters, defaults and ranges."""
        return await api.get("/templates")

    @server.tool(annotations=_READS)
    async def strategy_status(strategy_id: str) -> dict[str, Any]:
        """Return how a strategy stands: its workflow, run, result or error."""
        return await api.get(f"/strategies/{_part(strategy_id)}")

    @server.tool(annotations=_STOPS)
    async def stop_strategy(strategy_id: str) -> dict[str, Any]:
        """Stop a strategy: cancel its workflow and its open orders; its positions and its record stay."""
        return await api.delete(f"/strategies/{_part(strategy_id)}")


def _add_research(server: MCPServer, api: Api) -> None:
    @server.tool(annotations=_ACTS)
    async def run_backtest(
        symbols: Symbols,
        start_date: str = "",
        end_date: str = "",
        strategy_type: str = "momentum",
        initial_capital: float | None = None,
        parameters: dict[str, Any] | None = None,
        wait_s: Wait = 120.0,
    ) -> dict[str, Any]:
        """Backtest a strategy on daily bars, ISO dates, empty for all there is; return its result, or how far it is."""
        given: dict[str, Any] = {"symbols": symbols, "strategy_type": strategy_type}
        optional = {
            "start_date": start_date,
            "end_date": end_date,
            "initial_capital": initial_capital,
            "parameters": parameters,
        }
        started = await api.post("/backtest", given | {name: value for name, value in optional.items() if value})
        return await api.settled(f"/backtest/{_part(started['test_id'])}", _BACKTEST_ENDED, wait_s)

    @server.tool(annotations=_READS)
    async def backtest_result(test_id: str, wait_s: Wait = 0.0) -> dict[str, Any]:
        """Return a backtest's result, or how far it is."""
        return await api.settled(f"/backtest/{_part(test_id)}", _BACKTEST_ENDED, wait_s)


def _add_questions(server: MCPServer, api: Api) -> None:
    @server.tool(annotations=_READS)
    async def system_status() -> dict[str, Any]:
        """Return the system's health with reasons, its load, pools and workflows."""
        return await api.get("/status")

    @server.tool(annotations=_READS)
    async def list_decisions(
        kind: Literal["signals", "orders", "fills", "denials"],
        run_id: str = "",
        instrument_id: str = "",
        limit: Limit = 100,
    ) -> dict[str, Any]:
        """Return signals, orders, fills or denials, newest first."""
        return await api.get(f"/{kind}", run_id=run_id, instrument_id=instrument_id, limit=limit)

    @server.tool(annotations=_READS)
    async def list_positions() -> dict[str, Any]:
        """Return the positions, cash and equity of each account."""
        return await api.get("/positions")

    @server.tool(annotations=_READS)
    async def explain_decision(id: str) -> dict[str, Any]:  # noqa: A002 - the name that a client reads
        """Return why an order or fill happened: the chain of its causes back to the row of market data."""
        return await api.get(f"/trace/{_part(id)}")

    @server.tool(annotations=_READS)
    async def query_memory(
        strategy_id: str = "",
        symbol: str = "",
        id: str = "",  # noqa: A002
        correlation_id: str = "",
        topic: str = "",
        start: str = "",
        end: str = "",
        limit: Limit = 100,
    ) -> dict[str, Any]:
        """Return what the memory agent remembers that fits all of what is given, newest first; times are ISO, UTC."""
        return await api.get(
            "/memory",
            strategy_id=strategy_id,
            symbol=symbol,
            id=id,
            correlation_id=correlation_id,
            topic=topic,
            start=start,
            end=end,
            limit=limit,
        )


def _part(name: str) -> str:
    return quote(name, safe="")
