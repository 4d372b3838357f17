"""`make bench-rl`: training beside stable-baselines3, as tables and a line of JSON; no timed asserts.

python -m tests.performance.bench_rl [--only PART ...] [--seeds N] [--rounds N] [--quick] [--json FILE]

Parts: updates, gradient steps of TD3, SAC and DDPG; rollouts, environment steps of PPO and A2C, learning included;
pendulum, what all five learn of Pendulum-v1; trading, steps of the trading environment alone; events, training through
the topics, on Kafka (FINAGENT_KAFKA_BOOTSTRAP, or a local one). One thread throughout.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.performance import rl_rollouts, rl_updates, trading_env
from tests.performance.rl_updates import Row

PACKAGES = ("torch", "stable-baselines3", "gymnasium", "numpy")
BLAS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""What changes the speed of matrix products, where it is set."""
RESAMPLES = 20_000
PEER = rl_rollouts.PEER


def conditions() -> dict[str, Any]:
    """Return when and on what this runs."""
    cpu = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        cpu = next((line.split(":")[1].strip() for line in info.open() if line.startswith("model name")), cpu)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "threads": 1,
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
        **{name: os.environ[name] for name in BLAS if name in os.environ},
    }


def updates(given: argparse.Namespace) -> list[Row]:
    """Measure gradient steps."""
    return rl_updates.updates(given.rounds, 20 if given.quick else 100)


def rollouts(given: argparse.Namespace) -> list[Row]:
    """Measure environment steps with learning."""
    if given.quick:
        return rl_rollouts.steps(given.rounds, names=("pendulum",), counts=(8,), length=2**11)
    return rl_rollouts.steps(given.rounds)


def pendulum(given: argparse.Namespace) -> list[Row]:
    """Teach, and return each algorithm's means beside the peer's, with a 95 % interval of their difference."""
    if given.quick:
        scores = rl_rollouts.pendulum(given.seeds, share=0.1)
    else:
        scores = rl_updates.pendulum(given.seeds) + rl_rollouts.pendulum(given.seeds)
    return [compared(scores, str(name)) for name in dict.fromkeys(row["algorithm"] for row in scores)]


def compared(scores: Sequence[Row], algorithm: str) -> Row:
    """Return what the seeds of one algorithm say: means, the worst seed of ours, and the difference's interval."""
    own, theirs = (
        np.array([row["mean"] for row in scores if row["algorithm"] == algorithm and (row["what"] == PEER) == peer])
        for peer in (False, True)
    )
    low, high = difference(own, theirs)
    seconds = [
        float(
            np.sum(
                [row["seconds"] for row in scores if row["algorithm"] == algorithm and (row["what"] == PEER) == peer]
            )
        )
        for peer in (False, True)
    ]
    return {
        "algorithm": algorithm,
        "seeds": len(own),
        "ours": float(own.mean()),
        "worst": float(own.min()),
        "sb3": float(theirs.mean()),
        "difference": float(own.mean() - theirs.mean()),
        "low": low,
        "high": high,
        "ours_s": seconds[0],
        "sb3_s": seconds[1],
    }


def difference(own: Any, theirs: Any) -> tuple[float, float]:
    """Return the 95 % interval of the difference of two means, by the bootstrap: seeds of each are drawn anew."""
    rng = np.random.default_rng(0)
    means = [runs[rng.integers(0, len(runs), (RESAMPLES, len(runs)))].mean(axis=1) for runs in (own, theirs)]
    low, high = np.quantile(means[0] - means[1], [0.025, 0.975])
    return float(low), float(high)


def trading(given: argparse.Namespace) -> list[Row]:
    """Measure the trading environment alone, with market impact and without."""
    rows: list[Row] = []
    for impact in (0.1, 0.0):
        for count, told in trading_env.run((64,) if given.quick else (1, 8, 64, 256), impact=impact)[
            "environments"
        ].items():
            rows.append({"impact": impact, "num_envs": count, **told})
    return rows


def events(given: argparse.Namespace) -> list[Row]:
    """Measure ingest, rebuild and policy latency, as tests.performance.rl_events prints them."""
    kind = "memory" if given.quick else "kafka"
    command = [sys.executable, "-m", "tests.performance.rl_events", kind]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    return [
        {"benchmark": told["benchmark"], "figure": name, "value": value}
        for told in found
        for name, value in told.items()
        if name != "benchmark"
    ]


PARTS: dict[str, Callable[[argparse.Namespace], list[Row]]] = {
    "updates": updates,
    "rollouts": rollouts,
    "pendulum": pendulum,
    "trading": trading,
    "events": events,
}


def table(title: str, rows: Sequence[Row]) -> Table:
    """Return rows as a table."""
    shown = Table(title=title, title_justify="left")
    for name in rows[0]:
        shown.add_column(name, justify="left" if isinstance(rows[0][name], str) else "right")
    for row in rows:
        shown.add_row(*(_written(value) for value in row.values()))
    return shown


def _written(value: Any) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.2f}" if isinstance(value, float) and abs(value) < 100 else f"{value:,.0f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.performance.bench_rl", description="Training beside SB3.")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="parts to run; all")
    parser.add_argument("--seeds", type=int, help="trainings of each algorithm on Pendulum-v1; 5")
    parser.add_argument("--rounds", type=int, help="rounds of a measurement, in turn with the peer's; 7")
    parser.add_argument("--quick", action="store_true", help="little of everything, to see that it works")
    parser.add_argument("--json", type=Path, help="write the result to this file too")
    given = parser.parse_args(arguments)
    given.seeds = given.seeds or (2 if given.quick else 5)
    given.rounds = given.rounds or (1 if given.quick else 7)
    console = Console(width=None if sys.stdout.isatty() else 140)
    result: dict[str, Any] = {"conditions": conditions(), "seeds": given.seeds, "rounds": given.rounds}
    console.print(", ".join(f"{name} {value}" for name, value in result["conditions"].items()))
    for part in given.only:
        result[part] = PARTS[part](given)
        console.print(table(part, result[part]))
    print(json.dumps(result), flush=True)
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
