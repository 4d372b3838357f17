"""A pool of one's own: buy a close above the highest of the last `window` closes, sell one below the lowest.

In one process: `orchestrator.register_agent_pool(pool)` before `initialize()`. As a process of its own, on Kafka:
`finagent pool examples.custom_pool:pool`. A strategy chooses it with the parameter alpha_pool="breakout", a workflow
step with agent_pool "breakout_agent_pool".
"""

from pydantic import Field

from agents.context import Run
from agents.pool import AgentPool
from agents.steps import Inputs
from schemas import Bar, Signal
from streams.state import State

pool = AgentPool("breakout", role="alpha")


class Closes(State):
    """The latest closes of one run by instrument, oldest first; saved with every commit."""

    latest: dict[str, list[float]] = Field(default_factory=dict)


@pool.on
def decide(bar: Bar, run: Run, closes: Closes) -> Signal | None:
    """Signal a close outside the channel of the closes before it."""
    window = int(run.parameters.get("window", 20))
    before = closes.latest.get(bar.instrument_id, [])
    closes.latest[bar.instrument_id] = [*before, bar.close][-window:]
    if len(before) < window or min(before) <= bar.close <= max(before):
        return None
    up, score = bar.close > max(before), bar.close / before[-1] - 1
    return run.signal(bar.instrument_id, "BUY" if up else "SELL", price=bar.close, score=score, confidence=1.0)


@pool.step("describe_channel")
def describe_channel(parameters: dict[str, int], inputs: Inputs) -> dict[str, dict[str, list[float]]]:
    """Return the channel of the bars that an earlier step fetched."""
    window = parameters.get("window", 20)
    return {"channel": {name: [min(c[-window:]), max(c[-window:])] for name, c in inputs.column("close").items()}}
