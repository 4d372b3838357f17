"""`finagent demo`: the main job, end to end."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from infra.demo import DemoPlan, DemoResult, run_demo
from infra.demo_studies import demo_studies
from infra.processes import Processes, processes
from infra.report import report
from infra.services import start_kafka, start_redis, stop_kafka, stop_redis
from orchestrator.facade import FinAgentOrchestrator
from orchestrator.settings import load
from orchestrator.study import Study
from orchestrator.wiring import BUILT_IN
from schemas import OrderDenied, OrderFilled
from streams.errors import ServiceError
from streams.memory_broker import MemoryBroker

FOLDER = Path(".finagent") / "demo"
READY_S = 60.0
Told = Callable[[str], None]
Ran = tuple[DemoResult, list[Study]]


def demo(
    kafka: Annotated[
        str, typer.Option(help="'local' for a fresh local Apache Kafka, or host:port; without it all runs in memory.")
    ] = "",
    redis: Annotated[str, typer.Option(help="Redis URL, with --kafka host:port; without it a local one.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON line.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the synthetic ticks.", min=0)] = 7,
) -> None:
    """Run a strategy over real market data through all pools, to fills, metrics and an HTML report."""
    console = Console(stderr=as_json)
    plan = DemoPlan(seed=seed)

    def told(what: str) -> None:
        console.print(what, highlight=False)

    result, studies = _through_kafka(kafka, redis, plan, told) if kafka else asyncio.run(_embedded(plan, told))
    path = FOLDER / "report.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(report("FinAgent demo", studies))
    _show(console, result)
    told(f"report: {path} - open it in a browser: equity against benchmarks, risk, costs, and why each fill happened")
    if as_json:
        sys.stdout.write(json.dumps(result.summary()) + "\n")


async def _embedded(plan: DemoPlan, told: Told) -> Ran:
    settings = load(overrides={"kafka": {"bootstrap": ""}, "redis": {"url": ""}, "log_level": "WARNING"})
    orchestrator = FinAgentOrchestrator(settings=settings)
    await orchestrator.initialize()
    try:
        result = await run_demo(orchestrator, "in memory, one process", plan, told)
        result.rows |= await _handled(orchestrator)
        broker = orchestrator.broker
        assert isinstance(broker, MemoryBroker)
        broker.save(FOLDER / "log.avro")
        studies = await demo_studies(result, orchestrator)
    finally:
        await orchestrator.shutdown()
    return result, studies


def _through_kafka(kafka: str, redis: str, plan: DemoPlan, told: Told) -> Ran:
    if kafka == "local":
        address, url, prefix, name = _fresh_services(told)
    else:
        address, url, prefix = kafka, redis or start_redis(FOLDER / "redis").url, f"demo-{uuid.uuid4().hex[:8]}."
        name = f"Apache Kafka at {address}"
    overrides = {"kafka": {"bootstrap": address, "prefix": prefix}, "redis": {"url": url}}
    environment = {
        "FINAGENT_KAFKA__BOOTSTRAP": address,
        "FINAGENT_KAFKA__PREFIX": prefix,
        "FINAGENT_REDIS__URL": url,
        "FINAGENT_LOG_LEVEL": "INFO",
    }
    if prefix:
        told(f"topics have the prefix {prefix}")
    with processes(FOLDER / "logs", environment) as children:
        children.start("orchestrator", ["orchestrator"])
        for pool in BUILT_IN:
            children.start(f"pool-{pool}", ["pool", pool])
        told(f"started the orchestrator and {len(BUILT_IN)} pools as processes; logs in {children.folder}")
        ran = asyncio.run(_on_kafka(overrides, name, plan, told, children))
    if kafka == "local":
        told(f"Kafka and Redis keep running; stop them with: finagent broker stop --folder {FOLDER}")
    return ran


def _fresh_services(told: Told) -> tuple[str, str, str, str]:
    """Start Kafka and Redis on empty folders, so that topics have their plain names and hold this run alone."""
    kafka_folder, redis_folder = FOLDER / "kafka", FOLDER / "redis"
    stop_kafka(kafka_folder)
    stop_redis(redis_folder)
    for folder in (kafka_folder, redis_folder):
        shutil.rmtree(folder, ignore_errors=True)
    service = start_kafka(kafka_folder)
    redis = start_redis(redis_folder)
    told(f"started Apache Kafka {service.version} at {service.bootstrap} and Redis at {redis.url}")
    return service.bootstrap, redis.url, "", f"Apache Kafka {service.version} at {service.bootstrap}"


async def _on_kafka(overrides: Mapping[str, Any], name: str, plan: DemoPlan, told: Told, children: Processes) -> Ran:
    settings = load(overrides=overrides)
    orchestrator = FinAgentOrchestrator(settings=settings)
    await orchestrator.initialize()
    try:
        await _ready(orchestrator, children)
        result = await run_demo(orchestrator, name, plan, told)
        result.rows |= await _handled(orchestrator)
        studies = await demo_studies(result, orchestrator)
    finally:
        await orchestrator.shutdown()
    children.check()
    result.prefix = settings.kafka.prefix
    return result, studies


async def _ready(orchestrator: FinAgentOrchestrator, children: Processes) -> None:
    health = await orchestrator.get_health_status()
    try:
        async with asyncio.timeout(READY_S):
            while health["status"] != "healthy":
                children.check()
                await asyncio.sleep(0.1)
                health = await orchestrator.get_health_status()
    except TimeoutError:
        raise ServiceError(f"the pools were not ready within {READY_S:g} s: {'; '.join(health['reasons'])}") from None


async def _handled(orchestrator: FinAgentOrchestrator) -> dict[str, Any]:
    """Return what each data-plane task has handled, once its heartbeat tells of the last slice."""
    last = (await orchestrator.feed()).state.last_slice
    pools = ("alpha", "portfolio", "risk", "execution")
    try:
        async with asyncio.timeout(READY_S):
            while True:
                found = [each for each in await orchestrator.task_reports() if each["pool"] in pools]
                if {each["pool"] for each in found} == set(pools) and all(each["slice"] >= last for each in found):
                    break
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise ServiceError(f"not every pool told of the last slice within {READY_S:g} s") from None
    tasks = sorted(found, key=lambda each: str(each["task"]))
    return {
        "handled": {e["task"]: e["handled"] for e in tasks},
        "dead_letters": {e["task"]: e["dead_letters"] for e in tasks},
    }


def _show(console: Console, result: DemoResult) -> None:
    summary = result.summary()
    table = Table("", "act one", "act two", title="What ran", title_justify="left")
    one, two = result.daily.counts(), result.intraday.counts()
    kinds = ["real" if not act.synthetic else "synthetic" for act in (result.daily, result.intraday)]
    table.add_row("data", f"{result.daily.source} ({kinds[0]})", f"{result.intraday.source} ({kinds[1]})")
    table.add_row("rows", f"{one['rows']:,} daily bars", f"{two['rows']:,} ticks")
    for name in ("signals", "risk_decisions", "orders", "denials", "fills"):
        table.add_row(name.replace("_", " "), f"{one[name]:,}", f"{two[name]:,}")
    table.add_row("final equity", f"{summary['final_equity']:,.2f}", f"{summary['final_equity_ticks']:,.2f}")
    table.add_row("wall, s", f"{result.daily.wall_s:.2f}", f"{result.intraday.wall_s:.2f}")
    console.print(table)
    console.print(f"broker: {result.broker}; workflow steps: {result.steps}", highlight=False)
    metrics = Table("metric", "act one", "act two", title="Performance", title_justify="left")
    second = result.intraday.metrics()
    for name, value in result.daily.metrics().items():
        metrics.add_row(name, _figure(value), _figure(second[name]))
    console.print(metrics)
    denials: list[OrderDenied] = result.daily.of(OrderDenied)
    if denials:
        console.print(f"a denial: {denials[0].code}: {denials[0].reason}", highlight=False, soft_wrap=True)
    fills: list[OrderFilled] = result.daily.of(OrderFilled)
    if fills:
        console.print(f"why a fill happened: finagent trace {fills[-1].fill_id}", highlight=False, soft_wrap=True)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:,.4f}"
