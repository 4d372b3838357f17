"""How the report of a run with faults is shown, and written into a document."""

from __future__ import annotations

from infra.chaos.report import Report
from infra.cli.output import say, table


def show(report: Report) -> None:
    """Print a report for people."""
    counts = report.counts
    say(
        f"seed {report.seed}: {len(report.outcomes)} of {report.faults} faults, {counts.slices:,} of {report.slices:,} "
        f"slices, {counts.bars:,} bars ({report.data_source}), {counts.orders:,} orders, {counts.fills:,} fills, "
        f"{counts.workflows:,} workflows in {report.seconds:,.0f} s on {report.machine['cores']} cores"
    )
    if report.outcomes:
        table("Recovery, s", ("fault", "count", "p50", "p99", "longest"), report.recovery())
    say(f"longest time without a completed slice: {report.longest_pause_s:g} s")
    say(f"records of aborted transactions: {counts.aborted_records:,} of {counts.records + counts.aborted_records:,}")
    say(f"processes that ended by themselves: {len(report.endings)}, of {report.starts} starts")
    for ending in report.endings:
        say(f"  {ending.process}, exit code {ending.exit_code}: {ending.last_lines}")
    table("Against the undisturbed run", ("finding", "count"), list(report.verdict.counts().items()))
    for finding in report.verdict.findings:
        for each in finding.first:
            say(f"{finding.what}: {each}")
    say("sound: the decisions, reports and ledgers are the same" if report.sound else "NOT sound")


def markdown(report: Report) -> str:
    """Return what a document shows of a report."""
    asked = f"--seed {report.seed} --faults {report.faults} --slices {report.slices} --instruments {report.instruments}"
    head = f"`finagent chaos {asked}`, {report.started}"
    found = ", ".join(f"{what} {count}" for what, count in report.verdict.counts().items())
    figures = [
        f"| {kind} | {count} | {p50:.1f} | {p99:.1f} | {longest:.1f} |"
        for kind, count, p50, p99, longest in report.recovery()
    ]
    lines = [
        f"{head}: {'sound' if report.sound else 'NOT sound'}. {_size(report)}",
        "",
        f"Against the undisturbed run: {found}.",
        "",
        "| fault | count | recovery p50, s | p99, s | longest, s |",
        "|---|---|---|---|---|",
        *figures,
        "",
        f"Longest time without a completed slice: {report.longest_pause_s:.1f} s. Processes ended by themselves "
        f"{len(report.endings)} times, of {report.starts} starts.",
    ]
    return "\n".join(lines)


def _size(report: Report) -> str:
    counts, versions = report.counts, report.versions
    return (
        f"{len(report.outcomes)} faults in {report.seconds:,.0f} s; {counts.bars:,} bars ({report.data_source}), "
        f"{counts.decisions:,} decisions, {counts.orders:,} orders, {counts.fills:,} fills, {counts.workflows:,} "
        f"workflows; {counts.records:,} committed records and {counts.aborted_records:,} of aborted transactions. "
        f"Kafka {versions['kafka']}, Python {versions['python']}, {report.machine['cores']} cores."
    )
