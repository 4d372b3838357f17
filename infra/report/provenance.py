"""What it takes to run it again, and what the words mean."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from infra.report.content import Block, Code, Fact, Facts, Section, Table, Text

TERMS = (
    ("Sharpe ratio", "mean over standard deviation of returns, times the root of periods per year; risk-free rate 0"),
    (
        "PSR",
        "probabilistic Sharpe ratio: the chance that the true one is above 0, given length, skewness and kurtosis",
    ),
    ("Drawdown", "fall from the highest equity so far, the start capital included"),
    ("Gross, net exposure", "sum of |position values|, and of signed ones, over equity"),
    ("Turnover", "half the value traded over mean equity"),
    ("CVaR 95 %", "mean loss of the worst 5 % of periods, as a positive number"),
    ("Alpha, beta", "intercept, per year, and slope of least squares on buy and hold"),
    ("Denial", "risk said no before an order came to be"),
    ("Slice", "the market data of one moment or window, on which all pools decide before the next"),
)


def provenance(manifest: Mapping[str, Any], command: str = "") -> list[Section]:
    """Return the sections of a manifest; command is what runs it again."""
    facts = [
        Fact("Run", str(manifest["run_id"])),
        Fact("Configuration, SHA-256", str(manifest["config_sha256"])),
        Fact("Data, SHA-256", str(manifest["data_sha256"])),
        Fact("Versions", ", ".join(f"{name} {version}" for name, version in manifest["versions"].items())),
    ]
    blocks: list[Block] = [Facts(facts, "pairs")]
    if command:
        blocks += [Text("This command makes the same report:", "note"), Code(command)]
    blocks.append(Code(json.dumps(manifest, indent=2, sort_keys=True, default=str), "The whole manifest"))
    terms = Table("Terms", ("Term", "~Meaning"), TERMS, heading=True, folded=True)
    more = Text("docs/metrics.md has every formula with its convention and source.", "note")
    return [Section("How to run it again", (*blocks, terms, more))]
