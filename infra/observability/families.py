"""Metric families: their names, types, labels and help, and how reports fill them.

Names and units follow Prometheus' conventions. Labels are bounded: pools, tasks, topics and stages by the topology,
accounts by MAX_ACCOUNTS, codes and statuses by the schemas.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from infra.observability.log_figures import REPORTS, LogFigures
from orchestrator.heartbeat import Report
from schemas import DenialCode, Side
from schemas.workflow import WorkflowStatus

TASK = ("pool", "task")
STATUSES = ("healthy", "degraded", "critical")


def of_tasks(tasks: Sequence[Report]) -> Iterator[Metric]:
    """Yield what tasks did in the processes that run them now, and how far they are."""
    counted = [(each, each["counts"]) for each in tasks if "counts" in each]
    yield _by_topic("finagent_messages_handled", "Records whose handling is committed.", counted, "messages")
    yield _by_topic("finagent_rows_handled", "Rows of those records; a block has many.", counted, "rows")
    yield _by_topic("finagent_dead_letters", "Dead letters written, by source topic.", counted, "dead_letters")
    yield _by_topic("finagent_handler_errors", "Handlers that raised, by the topic that is blamed.", counted, "errors")
    transactions = CounterMetricFamily("finagent_transactions", "Transactions by outcome.", labels=(*TASK, "outcome"))
    restarts = CounterMetricFamily("finagent_task_restarts", "Times that a task took up its work again.", labels=TASK)
    for each, counts in counted:
        transactions.add_metric((*_task(each), "committed"), sum(counts["commits"]["buckets"]))
        transactions.add_metric((*_task(each), "aborted"), counts["aborted"])
        restarts.add_metric(_task(each), max(counts["starts"] - 1, 0))
    yield transactions
    yield restarts
    yield _handling(counted)
    yield _histogram("finagent_transaction_seconds", "Time of a committed transaction.", counted, "commits")
    yield _histogram("finagent_batch_messages", "Records that one poll brought.", counted, "batches")
    yield _lag(tasks)
    yield from _places(tasks)


def _by_topic(name: str, text: str, counted: Sequence[tuple[Report, Any]], key: str) -> Metric:
    family = CounterMetricFamily(name, text, labels=(*TASK, "topic"))
    for each, counts in counted:
        for topic, count in sorted(counts[key].items()):
            family.add_metric((*_task(each), topic), count)
    return family


def _handling(counted: Sequence[tuple[Report, Any]]) -> Metric:
    text = "Time of one piece of work; stage: the phase of a slice, else the topic of its first record."
    family = HistogramMetricFamily("finagent_handler_seconds", text, labels=(*TASK, "stage"))
    for each, counts in counted:
        for stage, histogram in sorted(counts["handling"].items()):
            family.add_metric((*_task(each), stage), _buckets(histogram), histogram["sum"])
    return family


def _histogram(name: str, text: str, counted: Sequence[tuple[Report, Any]], key: str) -> Metric:
    family = HistogramMetricFamily(name, text, labels=TASK)
    for each, counts in counted:
        family.add_metric(_task(each), _buckets(counts[key]), counts[key]["sum"])
    return family


def _buckets(histogram: Mapping[str, Any]) -> list[tuple[str, float]]:
    bounds = [*map(str, histogram["bounds"]), "+Inf"]
    return list(zip(bounds, accumulate(histogram["buckets"]), strict=True))


def _lag(tasks: Sequence[Report]) -> Metric:
    text = "Offsets between what a task has handled and the end of its input; transaction markers count."
    family = GaugeMetricFamily("finagent_lag_offsets", text, labels=(*TASK, "topic"))
    for each in tasks:
        behind: dict[str, int] = {}
        for place, count in each.get("lag", {}).items():
            topic = place.rpartition(":")[0]
            behind[topic] = behind.get(topic, 0) + count
        for topic, count in sorted(behind.items()):
            family.add_metric((*_task(each), topic), count)
    return family


def _places(tasks: Sequence[Report]) -> Iterator[Metric]:
    slices = GaugeMetricFamily(
        "finagent_task_slice_timestamp_seconds", "Event time of the last slice that a task has worked.", labels=TASK
    )
    moved = GaugeMetricFamily(
        "finagent_task_moved_timestamp_seconds", "When a task last got on in its inputs.", labels=TASK
    )
    for each in tasks:
        if each["slice"] >= 0:
            slices.add_metric(_task(each), each["slice"] / 1e9)
        if "moved" in each:
            moved.add_metric(_task(each), each["moved"] / 1e9)
    yield slices
    yield moved


def _task(each: Report) -> tuple[str, str]:
    return str(each["pool"]), str(each["task"])


def of_processes(processes: Sequence[Report]) -> Iterator[Metric]:
    """Yield what processes use."""
    labels = ("process", "pools")
    memory = GaugeMetricFamily("finagent_process_memory_bytes", "Resident memory of a process.", labels=labels)
    cpu = CounterMetricFamily("finagent_process_cpu_seconds", "CPU time of a process, user and system.", labels=labels)
    start = GaugeMetricFamily("finagent_process_start_time_seconds", "When a process was started.", labels=labels)
    for each in processes:
        values = (str(each["process"]), ",".join(each["pools"]))
        memory.add_metric(values, each["memory_bytes"])
        cpu.add_metric(values, each["cpu_seconds"])
        start.add_metric(values, each["started"] / 1e9)
    yield memory
    yield cpu
    yield start


def of_health(status: str) -> Metric:
    """Return the health as one series for each status, of which one is 1."""
    family = GaugeMetricFamily("finagent_health_status", "1 for the status that the system has.", labels=("status",))
    for each in STATUSES:
        family.add_metric((each,), each == status)
    return family


def of_machine(cpu: float, memory: float, disk: float) -> Iterator[Metric]:
    """Yield the load of the machine that answers; fractions in 0..1."""
    yield GaugeMetricFamily("finagent_cpu_usage_ratio", "CPU in use on the machine that answers.", value=cpu)
    yield GaugeMetricFamily("finagent_memory_usage_ratio", "Memory in use on the machine that answers.", value=memory)
    yield GaugeMetricFamily("finagent_disk_usage_ratio", "Disk of its working folder in use.", value=disk)


def of_control(workflows: Mapping[str, int], active_strategies: int) -> Iterator[Metric]:
    """Yield the control plane's state: workflows known by status, and runs on the data plane."""
    family = GaugeMetricFamily("finagent_workflows", "Workflows known, by status.", labels=("status",))
    for status in get_args(WorkflowStatus):
        family.add_metric((status,), workflows.get(status, 0))
    yield family
    yield GaugeMetricFamily("finagent_active_strategies", "Runs on the data plane.", value=active_strategies)


def of_trading(figures: LogFigures) -> Iterator[Metric]:
    """Yield what the log says of orders and accounts; every side, report and code is there from the start."""
    yield _counted("finagent_orders_submitted", "Orders that risk submitted.", "side", get_args(Side), figures.orders)
    yield _counted("finagent_order_reports", "Execution reports, by kind.", "report", REPORTS.values(), figures.reports)
    yield _counted(
        "finagent_order_denials", "Proposals that risk denied.", "code", get_args(DenialCode), figures.denials
    )
    labels = ("account", "currency")
    equity = GaugeMetricFamily("finagent_account_equity", "Cash and positions at mark, in the currency.", labels=labels)
    cash = GaugeMetricFamily("finagent_account_cash", "Cash, in the currency.", labels=labels)
    text = "Equity less deposits, in the currency."
    profit = GaugeMetricFamily("finagent_account_profit", text, labels=labels)
    for name, state in list(figures.accounts.items()):
        values = (name, state.currency)
        equity.add_metric(values, state.equity)
        cash.add_metric(values, state.cash)
        profit.add_metric(values, state.equity - state.deposits)
    yield equity
    yield cash
    yield profit


def _counted(name: str, text: str, label: str, known: Any, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=(label,))
    for each in dict.fromkeys((*known, *counts)):
        family.add_metric((each,), counts.get(each, 0))
    return family
