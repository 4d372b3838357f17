"""What ran, on which data, and the figures to look at first."""

from __future__ import annotations

from agents.metrics.series import last_of
from infra.report.content import Block, Fact, Facts, Text
from infra.report.wording import moment, number, percent
from orchestrator.study import Study


def intro(study: Study) -> list[Block]:
    """Return the head of a study's part."""
    notes = [Text(" ".join(study.notes), "note")] if study.notes else []
    return [Text(_what(study), "lead"), *notes, Facts(_facts(study)), Facts(_setting(study), "pairs")]


def kind(study: Study) -> str:
    """Return REAL, SYNTHETIC or both: what the rows say of themselves."""
    return " AND ".join(sorted(study.comparison.own.origins)).upper()


def daily(study: Study) -> bool:
    """Tell whether the run has one slice a day."""
    return len(last_of(study.course.levels, "D").times) == len(study.course.times)


def period(study: Study) -> str:
    """Return the first and the last time."""
    first, last = (moment(int(study.course.times[at]), daily=daily(study)) for at in (0, -1))
    return f"{first} to {last}" + ("" if daily(study) else " UTC")


def _what(study: Study) -> str:
    names = [each.instrument_id for each in study.run.instruments]
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    data = f"{kind(study).lower()} data from {study.manifest['source']}"
    return f"{study.run.strategy_type} on {shown}, {period(study)}, {data}."


def _facts(study: Study) -> list[Fact]:
    figures, currency = study.figures, study.run.currency
    spans = {each.name: each for each in study.intervals.of}
    sharpe = spans.get("sharpe_ratio")
    bounds = sharpe.bounds if sharpe else None
    skill = figures["probabilistic_sharpe_ratio"]
    interval = f"95 % interval {bounds[0]:.2f} to {bounds[1]:.2f}; " if bounds else ""
    held = study.comparison.benchmarks[0].figures["total_return"] if study.comparison.benchmarks else None
    return [
        _fact(study, "Total return", "total_return", percent(figures["total_return"], signed=True),
              f"buy and hold {percent(held, signed=True)}", toned=True),
        _fact(study, "Annual return", "annual_return", percent(figures["annual_return"], signed=True),
              _annual("compound, by the calendar", figures["annual_return"]), toned=True),
        _fact(study, "Sharpe ratio", "sharpe_ratio", number(figures["sharpe_ratio"]),
              _annual(f"{interval}above 0 with probability {percent(skill, 1)} (PSR)", figures["sharpe_ratio"])),
        _fact(study, "Max drawdown", "max_drawdown", percent(figures["max_drawdown"]),
              f"from a peak, {number(figures['max_drawdown_length'], 0)} slices until made good or the end"),
        _fact(study, "Final equity", "final_value", f"{number(figures['final_value'])}",
              f"{currency}, from {study.run.initial_cash:,.2f}"),
    ]  # fmt: skip


def _fact(study: Study, label: str, key: str, shown: str, note: str, *, toned: bool = False) -> Fact:
    value = study.figures[key]
    tone = ("gain" if value > 0 else "loss") if toned and value else ""
    return Fact(label, shown, note, value, key, tone)  # type: ignore[arg-type]


def _annual(note: str, value: float | None) -> str:
    return note if value is not None else "not stated for less than 30 days"


def _setting(study: Study) -> list[Fact]:
    config, run = study.manifest["config"], study.run
    costs = config["costs"]
    charged = (
        f"commission {percent(costs['commission_rate'])}, half spread {costs['half_spread_bps']:g} bp, "
        f"impact {costs['impact_coefficient']:g} x volatility x sqrt(quantity / volume)"
    )
    named = ", ".join(f"{name} {value}" for name, value in run.parameters.items())
    described = f"{run.strategy_type}: lookback_period {run.lookback_period}" + (f", {named}" if named else "")
    often = "every bar" if run.rebalance_frequency == "bar" else run.rebalance_frequency
    return [
        Fact(
            "Data",
            f"{study.manifest['source']} ({kind(study)}), {study.counts['rows']:,} rows "
            f"in {len(study.course.times):,} slices",
        ),
        Fact("Strategy", f"{described}; rebalanced {often}"),
        Fact("Fill rule", str(study.manifest["fill"])),
        Fact("Costs", charged),
        Fact("Seed of the data", _seed(study)),
        Fact("Decisions", ", ".join(f"{study.counts[n]:,} {n}" for n in ("signals", "orders", "fills", "denials"))),
    ]


def _seed(study: Study) -> str:
    seed = study.manifest.get("seed")
    if seed is not None:
        return str(seed)
    return "none: nothing was drawn" if study.comparison.own.origins == {"real"} else "as the data's name says"
