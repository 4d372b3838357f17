"""Compute reference.json with arch, which the project does not install.

Run it in a virtual environment of its own: pip install arch==8.0.0, then python make_reference.py > reference.json.
"""

import json
from pathlib import Path

import numpy as np
from arch.bootstrap import StationaryBootstrap, optimal_block_length

PUBLISHED = Path(__file__).with_name("published_returns.json")


def series() -> dict[str, list[float]]:
    """Return the published series and three with known dependence."""
    noise = np.random.default_rng(3).normal(size=200)
    chains = {"noise": noise}
    for coefficient in (0.5, -0.4, 0.9):
        chain = np.zeros(200)
        for row in range(1, 200):
            chain[row] = coefficient * chain[row - 1] + noise[row]
        chains[f"ar_{coefficient}"] = chain
    published = json.loads(PUBLISHED.read_text())
    return {**published, **{name: np.round(chain, 3).tolist() for name, chain in chains.items()}}


def sharpe_interval(changes: np.ndarray, mean_block: float) -> list[float]:
    """Return arch's 95 % percentile interval of the monthly Sharpe ratio x sqrt(12)."""
    bootstrap = StationaryBootstrap(mean_block, changes, seed=np.random.default_rng(11))
    bounds = bootstrap.conf_int(lambda r: r.mean() / r.std(ddof=1) * 12**0.5, reps=50_000, method="percentile")
    return [round(float(bound), 4) for bound in bounds.ravel()]


def main() -> None:
    """Print the reference."""
    data = series()
    blocks = {name: float(optimal_block_length(np.array(values)).iloc[0, 0]) for name, values in data.items()}
    made = {name: values for name, values in data.items() if name == "noise" or name.startswith("ar_")}
    interval = sharpe_interval(np.array(data["ham1"]), 6.0)
    print(json.dumps({"series": made, "block_length": blocks, "ham1_sharpe_95_block_6": interval}))


if __name__ == "__main__":
    main()
