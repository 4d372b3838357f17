"""The reports of sandbox results: backtests, live simulations, stress tests, A/B tests, Monte Carlo."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from infra.report.arms import arms
from infra.report.content import Block, Fact, Facts, Part, Section, Table, Text
from infra.report.fan import fan
from infra.report.page import page
from infra.report.provenance import provenance
from infra.report.runs import equity_chart
from infra.report.stress import stress
from infra.report.wording import number, percent
from streams.errors import InvalidData

Result = Mapping[str, Any]
_TITLES = {
    "historical_backtest": "Backtest",
    "live_simulation": "Live simulation",
    "stress_test": "Stress test",
    "ab_test": "A/B test",
    "monte_carlo": "Monte Carlo",
}
_MADE = {"stress_test": ", SHOCKED", "monte_carlo": ", RESAMPLED"}
_WHOSE = {"stress_test": "of the worst run", "ab_test": "of arm A", "monte_carlo": "of the run on history"}
_SHARES = frozenset(
    [
        "total_return",
        "annual_return",
        "volatility",
        "max_drawdown",
        "var_95",
        "var_99",
        "cvar_95",
        "cvar_99",
        "win_rate",
        "exposure",
        "alpha",
        "probabilistic_sharpe_ratio",
        "cost_drag",
    ]
)


def sandbox_report(result: Result, title: str = "") -> str:
    """Return the page of a result as docs/sandbox.md describes it; raise InvalidData for anything else."""
    try:
        manifest = result["manifest"]
        mode = manifest.get("mode", "historical_backtest")
        sections = _SECTIONS[mode](result)
        heading = title or str(result.get("name") or _TITLES[mode])
        facts = Facts(_facts(result["performance_metrics"], mode))
        intro: list[Block] = [Text(_said(manifest, _TITLES[mode]), "lead"), facts]
        badge = f"{manifest['data'].upper()} DATA{_MADE.get(mode, '')}"
        every = [*sections, _figures(result["performance_metrics"]), *provenance(manifest)]
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise InvalidData(f"this is no result of the sandbox: {type(error).__name__} {error}") from error
    return page(heading, [Part(heading, every, intro, badge=badge)])


def _said(manifest: Mapping[str, Any], mode: str) -> str:
    seed, derived = manifest.get("seed"), manifest.get("derived")
    said = [f"{mode} on {manifest['data']} data from {manifest['source']}, fill rule {manifest['fill']}"]
    said += [f"seed {seed}"] if seed is not None else []
    return ", ".join(said) + (f". Made of it: {derived}" if derived else "") + "."


def _facts(figures: Mapping[str, float | None], mode: str) -> list[Fact]:
    names = {
        "total_return": "Total return",
        "annual_return": "Annual return",
        "sharpe_ratio": "Sharpe ratio",
        "max_drawdown": "Max drawdown",
        "final_value": "Final equity",
    }
    return [
        Fact(label, _shown(name, figures[name]), _WHOSE.get(mode, ""), figures[name], name)
        for name, label in names.items()
    ]


def _figures(figures: Mapping[str, float | None]) -> Section:
    rows = [[name, _shown(name, value)] for name, value in figures.items()]
    return Section(
        "All figures",
        (Table("Conventions are in docs/metrics.md", ("Figure", "#Value"), rows, heading=True, folded=True),),
    )


def _shown(name: str, value: float | None) -> str:
    return percent(value) if name in _SHARES else number(value, 0 if isinstance(value, int) else 2)


def _plain(result: Result) -> list[Section]:
    run = result.get("live")
    counts = [
        Fact(name.capitalize(), f"{result[name]:,}")
        for name in ("signals", "orders", "fills", "denials")
        if name in result
    ]
    blocks: list[Any] = [equity_chart([("Strategy", run)])] if run else []
    return [Section("The run", (*blocks, Facts(counts, "pairs")))]


_SECTIONS: dict[str, Callable[[Result], list[Section]]] = {
    "historical_backtest": _plain,
    "live_simulation": _plain,
    "stress_test": stress,
    "ab_test": arms,
    "monte_carlo": fan,
}
