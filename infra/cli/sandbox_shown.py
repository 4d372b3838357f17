"""What `finagent sandbox` shows to people; tables fit a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.cli.output import say, table

OUTCOME = ("strategy", "final", "Sharpe", "drawdown", "denied", "trips")
SHOCKED = ("strategy", "size", "final", "loss", "drawdown", "back", "denied", "trips")
FIGURES = {"final_value": ",.0f", "total_return": ".2%", "sharpe_ratio": ".2f", "max_drawdown": ".2%"}


def show_stress(result: Mapping[str, Any]) -> None:
    """Show a stress test: the betas, the baselines, and for each shock a row for each run."""
    found = result["stress"]
    _source(result)
    market = found["market"]
    say(f"shock from {found['shock']['session']} on; betas to {market['benchmark']}, {market['observations']} returns")
    table("Betas", ("instrument", "beta"), [(name, f"{beta:.2f}") for name, beta in market["betas"].items()])
    table("As it was", OUTCOME, [_outcome(row) for row in found["baselines"]])
    for name, scenario in found["scenarios"].items():
        say(f"{name}: {scenario['reason']}")
        table(scenario["title"], SHOCKED, [_shocked(row) for row in found["runs"] if row["scenario"] == name])
    say("size: severity; loss: against the same strategy's final value without the shock")
    say("back: bars until equity is where it was before the shock")


def show_ab(result: Mapping[str, Any]) -> None:
    """Show an A/B test: both arms, and what the data tell."""
    found = result["ab_test"]
    _source(result)
    table("Arms", ("arm", *OUTCOME), [(arm["arm"], *_outcome(arm)) for arm in found["arms"]])
    low, high = found["annual_interval"]
    table(
        "Daily returns of B less A",
        ("figure", "value"),
        [
            ("days", found["days"]),
            ("difference a year", f"{found['annual_difference']:+.2%}"),
            (f"{found['confidence']:.0%} interval", f"{low:+.2%} to {high:+.2%}"),
            ("p-value", f"{found['p_value']:.4f}"),
            ("effect size a year", _number(found["annual_effect_size"], ".2f")),
            ("mean block, days", f"{found['mean_block']:.1f}"),
            ("resamples", found["resamples"]),
        ],
    )
    say(found["verdict"])


def show_monte_carlo(result: Mapping[str, Any]) -> None:
    """Show a Monte Carlo run: percentiles of each figure, and where the real history lies."""
    found = result["monte_carlo"]
    _source(result)
    say(f"mean block {found['mean_block']:.1f} bars; probability of loss {found['probability_of_loss']:.1%}")
    spreads = [(found["distribution"][name], form) for name, form in FIGURES.items()]
    rows = [
        (f"p{level}", *(_number(spread["percentiles"][level], form) for spread, form in spreads))
        for level in spreads[0][0]["percentiles"]
    ]
    rows.append(("real", *(_number(spread["real"], form) for spread, form in spreads)))
    rows.append(("real lies above", *(_number(spread["real_rank"], ".0%") for spread, _ in spreads)))
    table("Distribution", ("", *FIGURES), rows)


def show_live(result: Mapping[str, Any]) -> None:
    """Show a live simulation: a backtest's figures."""
    _source(result)
    pace = result["live"]["pace"]
    how = f"{pace:g} slices a second" if pace else "as fast as it went"
    say(f"{result['manifest']['slices']:,} slices through feed, broker and pools, {how}")
    say(f"orders {result['orders']}, fills {result['fills']}, denials {result['denials']}")
    rows = [(name, _number(value, ",.4f")) for name, value in result["performance_metrics"].items()]
    table("Performance", ("metric", "value"), rows)


def _source(result: Mapping[str, Any]) -> None:
    manifest = result["manifest"]
    say(f"{manifest['source']} ({manifest['data']}), {manifest['slices']:,} slices, fill rule {manifest['fill']}")
    if manifest["derived"]:
        say(manifest["derived"])


def _outcome(row: Mapping[str, Any]) -> tuple[object, ...]:
    return (
        row["strategy"],
        f"{row['final_value']:,.0f}",
        _number(row["performance_metrics"]["sharpe_ratio"], ".2f"),
        f"{row['max_drawdown']:.2%}",
        row["denials"],
        row["kill_switch_trips"],
    )


def _shocked(row: Mapping[str, Any]) -> tuple[object, ...]:
    back = row["time_to_recover"]
    return (
        row["strategy"],
        f"{row['severity']:g}",
        f"{row['final_value']:,.0f}",
        f"{row['loss_share']:.2%}",
        f"{row['max_drawdown']:.2%}",
        "never" if back is None else str(back),
        row["denials"],
        row["kill_switch_trips"],
    )


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
