"""What the demo's report shows: its live runs, next to benchmarks and cost multiples replayed over the same rows."""

from __future__ import annotations

from dataclasses import replace

from agents.metrics.trips import closed_trips
from infra.demo import Act, DemoResult
from orchestrator.backtest import BacktestPlan, following
from orchestrator.facade import FinAgentOrchestrator
from orchestrator.recording import KEPT, Recording
from orchestrator.study import Study, compare, intervals_of, relative_to
from orchestrator.trace import traces
from orchestrator.wiring import pools_of
from schemas import OrderDenied, OrderFilled


async def demo_studies(result: DemoResult, orchestrator: FinAgentOrchestrator) -> list[Study]:
    """Return the study of each act; the orchestrator's log must still be there."""
    plan, settings = result.plan, orchestrator.settings
    acts = (
        ("Act one: real daily bars", plan.daily(), result.daily, None),
        ("Act two: synthetic ticks", plan.intraday(), result.intraday, plan.seed),
    )
    studies = []
    for title, strategy, act, drawn in acts:
        run = act.run
        replayed = BacktestPlan(strategy, run.instruments, settings, act.source, run.initial_cash)
        study = await _study(title, act, replayed, orchestrator, plan.seed)
        said = _said(act, study, result.broker)
        manifest = {**study.manifest, "run_id": run.run_id, "seed": drawn, "broker": result.broker}
        command = f"finagent demo --seed {plan.seed}"
        studies.append(replace(study, manifest=manifest, notes=(said,), command=command))
    return studies


async def _study(title: str, act: Act, plan: BacktestPlan, orchestrator: FinAgentOrchestrator, seed: int) -> Study:
    recording = Recording(act.run)
    for event in act.events:
        recording.event(event)
    fills: list[OrderFilled] = sorted(act.of(OrderFilled), key=lambda fill: fill.ts_event)
    denials: list[OrderDenied] = sorted(act.of(OrderDenied), key=lambda denial: denial.ts_event)
    wanted = [fill.fill_id for fill in fills[-KEPT:]] + [denial.proposal_id for denial in denials[-KEPT:]]
    comparison = await compare(plan, lambda: following(act.slices), lambda each: pools_of(each.settings, each.fill))
    course = recording.course()
    return Study(
        title=title,
        heading=plan.strategy.name,
        run=act.run,
        course=course,
        figures=act.metrics(),
        relative=relative_to(comparison.benchmarks, course, act.run.initial_cash),
        counts=act.counts(),
        fills=fills,
        denials=denials,
        trips=closed_trips(fills),
        last_state=recording.last_state,
        chains=await traces(orchestrator.broker, orchestrator.serde, wanted),
        comparison=comparison,
        intervals=intervals_of(course.levels, act.run.initial_cash, seed),
        manifest=comparison.own.manifest(),
    )


def _said(act: Act, study: Study, broker: str) -> str:
    live, replayed = act.equity[-1].equity, study.comparison.own.final_equity
    same = "the same" if live == replayed else f"not the same but {replayed:,.2f}"
    return f"Traded live through the pools ({broker}); the one-process replay of the same rows ends at {same} equity."
