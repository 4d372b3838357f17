"""The transaction cost pool: what orders are expected to cost."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from agents.pool import AgentPool
from agents.steps import Inputs
from agents.transaction_cost.model import CostModel, estimate
from schemas import OrderTerms


class EstimateParameters(BaseModel):
    """Parameters of the estimate_execution_cost step."""

    model_config = ConfigDict(extra="forbid")
    cost_model: Literal["implementation_shortfall"] = "implementation_shortfall"
    """Against which price costs are counted: the last close before the order."""


def build(model: CostModel) -> AgentPool:
    """Return the pool over the cost model that the paper venue charges."""
    pool = AgentPool("transaction_cost")

    @pool.step("estimate_execution_cost")
    @pool.step("optimize_execution")
    def estimate_execution_cost(parameters: EstimateParameters, inputs: Inputs) -> dict[str, Any]:
        """Estimate commission, half spread and impact of the orders of an earlier step."""
        orders = [_order(each) for each in inputs.find("orders")]
        multipliers = {name: instrument.multiplier for name, instrument in inputs.instruments().items()}
        costs = estimate(orders, inputs.column("close"), inputs.column("volume"), model, multipliers=multipliers)
        return {"transaction_costs": costs, "orders": len(orders), "cost_model": parameters.cost_model}

    return pool


def _order(given: dict[str, Any]) -> OrderTerms:
    return OrderTerms(
        run_id="estimate",
        strategy_id="estimate",
        account_id="estimate",
        instrument_id=given["instrument_id"],
        side=given["side"],
        quantity=given["quantity"],
    )
