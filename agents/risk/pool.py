"""The risk pool: decides on every proposal; the only writer of orders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from agents.context import Because, Context, Slice
from agents.pool import AgentPool
from agents.portfolio.financing import NO_FINANCING, FinancingModel
from agents.risk.actions import act
from agents.risk.limits import (
    RiskAccount,
    accrue,
    apply,
    decide,
    end_of_marks,
    mark,
    register,
    start_session,
    stop,
    take_word,
)
from agents.risk.var import assess
from agents.steps import Answer, Inputs, StepContext
from schemas import (
    CorporateAction,
    Message,
    OrderAccepted,
    OrderCanceled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderProposed,
    OrderRejected,
    RiskAssessed,
    SubmitOrder,
)
from streams.record import rfc3339


class AssessParameters(BaseModel):
    """Parameters of the assess_risk step."""

    model_config = ConfigDict(extra="forbid")
    model: Literal["var"] = "var"
    """The method; risk_model is another name for it."""
    weights: dict[str, float] | None = None
    """Shares of value by instrument_id or symbol; None: equal ones."""

    @model_validator(mode="before")
    @classmethod
    def _risk_model(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and "risk_model" in values:
            return {("model" if name == "risk_model" else name): value for name, value in values.items()}
        return values


def build(*, commission_rate: float, cash_buffer: float, financing: FinancingModel = NO_FINANCING) -> AgentPool:
    """Return the pool; both rates are fractions of an order's notional that it sets aside besides the price.

    financing must be that of the portfolio pool: both charge it, each on its own books.
    """
    pool = AgentPool("risk", role="risk")

    @pool.on
    def on_report(
        report: OrderAccepted | OrderRejected | OrderFilled | OrderCanceled | OrderExpired, account: RiskAccount
    ) -> None:
        """Book an execution report and release what it settles; a fill may be the first news of a session."""
        if account.account_id:
            accrue(account, financing, report.ts_event)
            start_session(account, rfc3339(report.ts_event)[:10])
        apply(account, report)

    @pool.on
    def on_action(action: CorporateAction, context: Context) -> None:
        """Book a dividend or a split in every account."""
        for account in context.each(RiskAccount):
            accrue(account, financing, action.ts_event)
            act(account, action)

    @pool.on(phase="mark")
    def on_marks(slice_: Slice, context: Context) -> Iterator[Message | Because]:
        """Open the accounts of new runs, stop others, mark positions, hear operators, check the session's loss."""
        words = {word.account_id: word for word in slice_.switches}
        for run in context.runs.values():
            account = context.state(RiskAccount, run.account_id)
            accrue(account, financing, slice_.ts)
            register(account, run)
        for account in context.each(RiskAccount):
            accrue(account, financing, slice_.ts)
            for run_id in account.runs:
                if run_id not in context.runs:
                    stop(account, run_id)
            for instrument_id, prices in slice_.prices.items():
                mark(account, instrument_id, float(prices.values[-1]), slice_.session_date)
            word = words.get(account.account_id)
            if word and (changed := take_word(account, word, slice_.ts)):
                yield Because(changed, word.command_id)
            yield from end_of_marks(account, slice_.ts)

    @pool.on
    def on_proposal(
        proposal: OrderProposed, account: RiskAccount, context: Context
    ) -> SubmitOrder | OrderDenied | None:
        """Submit or deny."""
        return decide(account, proposal, commission_rate, cash_buffer, context.ts)

    @pool.step("assess_risk")
    @pool.step("assess_portfolio_risk")
    def assess_risk(parameters: AssessParameters, inputs: Inputs, step: StepContext) -> Answer:
        """Assess fixed weights over the fetched history."""
        return _assessment(parameters, inputs, step)

    return pool


def _assessment(parameters: AssessParameters, inputs: Inputs, step: StepContext) -> Answer:
    closes = inputs.common_closes()
    ids = {instrument.symbol: name for name, instrument in inputs.instruments().items()}
    weights = parameters.weights and {ids.get(name, name): weight for name, weight in parameters.weights.items()}
    figures = assess(closes, weights)
    assessed = RiskAssessed(
        workflow_id=step.workflow_id,
        model=parameters.model,
        instruments=tuple(sorted(closes)),
        observations=min(map(len, closes.values())) - 1,
        ts_event=inputs.last_ts,
        **{name: value for name, value in figures.items() if name in RiskAssessed.model_fields},
    )
    result = {"model": parameters.model, "observations": assessed.observations, "risk_metrics": figures}
    return Answer(result, ((step.workflow_id, assessed),))
