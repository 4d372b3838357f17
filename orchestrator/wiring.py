"""The composition root: from settings to brokers, pools and tasks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from agents.alpha.pool import build as build_alpha
from agents.answering import StepProcessor
from agents.data.pool import build as build_data
from agents.data.sources import open_providers
from agents.dispatch import owner_of
from agents.execution.pool import build as build_execution
from agents.execution.venue import FillAt
from agents.mcp.pool import McpPool
from agents.memory.pool import build as build_memory
from agents.memory.reader import Memory
from agents.pool import SUFFIX, AgentPool
from agents.portfolio.pool import build as build_portfolio
from agents.processing import PoolProcessor
from agents.risk.pool import build as build_risk
from agents.transaction_cost.pool import build as build_transaction_cost
from orchestrator.backtest import BacktestPlan
from orchestrator.control import ContextOf, ControlProcessor
from orchestrator.credentials import kafka_security, login
from orchestrator.events import Context
from orchestrator.planner import PoolInfo
from orchestrator.retention import DEFAULT, Retention
from orchestrator.settings import Settings
from orchestrator.strategy import RL
from rl.pool import build as build_rl
from streams.broker import Broker
from streams.errors import ConfigError
from streams.host import TaskKind
from streams.kafka_broker import KafkaBroker, KafkaOptions
from streams.memory_broker import MemoryBroker
from streams.redis_store import RedisSecurity, RedisStore
from streams.snapshots import SnapshotPolicy
from streams.store import MemoryStore, Store

BUILT_IN = ("data", "alpha", "portfolio", "risk", "transaction_cost", "execution")


def broker_of(settings: Settings, environ: Mapping[str, str] | None = None) -> Broker:
    """Return the broker that the settings name, in memory where they name none; environ has user and password."""
    kafka = settings.kafka
    if not kafka.bootstrap:
        return MemoryBroker()
    return KafkaBroker(
        KafkaOptions(
            bootstrap=kafka.bootstrap,
            prefix=kafka.prefix,
            replication=kafka.replication,
            transaction_timeout_ms=kafka.transaction_timeout_ms,
            request_timeout_ms=kafka.request_timeout_ms,
            instance_id=kafka.instance_id,
            security=kafka_security(kafka, environ),
        )
    )


def store_of(settings: Settings, environ: Mapping[str, str] | None = None) -> Store:
    """Return the store that the settings name, in memory where they name none; environ has user and password."""
    if not settings.redis.url:
        return MemoryStore()
    security = RedisSecurity(*login("REDIS", environ), settings.redis.ssl_ca_file)
    return RedisStore(settings.redis.url, settings.kafka.prefix, security=security)


def snapshots_of(settings: Settings, store: Store) -> SnapshotPolicy | None:
    """Return how tasks keep snapshots of their states; None where there are none: log or store end with the process."""
    every_s = settings.redis.snapshot_interval_s
    lasting = bool(settings.kafka.bootstrap and settings.redis.url)
    return SnapshotPolicy(store, every_s) if lasting and every_s > 0 else None


def retention_of(settings: Settings) -> Retention:
    """Return how long and how many ended workflows are remembered."""
    return Retention(settings.orchestrator.workflow_retention_s, settings.orchestrator.max_ended_workflows)


def partitions_of(settings: Settings) -> dict[str, int]:
    """Return the partition count of each key family."""
    return {**settings.kafka.partitions.model_dump(), "single": 1}


def pool_of(name: str, settings: Settings, fill_at: FillAt = "next_open") -> AgentPool:
    """Return a built-in pool; raise ConfigError that lists them for another name."""
    plain = name.replace("-", "_").removesuffix(SUFFIX)
    match plain:
        case "data":
            return build_data(open_providers(settings.data.providers), settings.data.cache_entries)
        case "alpha":
            return build_alpha()
        case "portfolio":
            return build_portfolio(
                initial_capital=settings.sandbox.initial_capital,
                headroom=settings.sandbox.commission_rate + settings.risk.cash_buffer,
                financing=settings.financing,
            )
        case "risk":
            return build_risk(
                commission_rate=settings.sandbox.commission_rate,
                cash_buffer=settings.risk.cash_buffer,
                financing=settings.financing,
            )
        case "transaction_cost":
            return build_transaction_cost(settings.cost_model())
        case "execution":
            return build_execution(settings.cost_model(), fill_at)
        case "rl":
            return build_rl()
    raise ConfigError(f"Unknown pool {name!r}, expected one of {', '.join((*BUILT_IN, RL))}, or module:attr")


def pools_of(settings: Settings, fill_at: FillAt = "next_open") -> list[AgentPool]:
    """Return the pools that are enabled: the built-in ones, and those that the settings name: rl, and by URL others."""
    sections = settings.agent_pools.items()
    remote = [name for name, each in sections if each.url and name.removesuffix(SUFFIX) not in BUILT_IN]
    deciding = [RL + SUFFIX] if settings.orchestrator.enable_rl and RL + SUFFIX in settings.agent_pools else []
    names = [*(name + SUFFIX for name in BUILT_IN), *deciding, *remote]
    enabled = [name for name in names if settings.agent_pools[name].enabled]
    return [pool for name in enabled for pool in pools_named(name, settings, fill_at)]


def pools_of_plan(plan: BacktestPlan) -> list[AgentPool]:
    """Return the pools that a backtest replays through, a pool of its own excepted."""
    pools = pools_of(plan.settings, plan.fill)
    if plan.alpha_pool != RL or any(pool.name == RL for pool in pools):
        return pools
    if not plan.settings.orchestrator.enable_rl:
        raise ConfigError("orchestrator.enable_rl is false: strategies of the RL pool are switched off")
    return [*pools, build_rl()]


def pools_named(name: str, settings: Settings, fill_at: FillAt = "next_open") -> list[AgentPool]:
    """Return what runs under a pool's name; with a URL the MCP server there answers its steps.

    Raises ConfigError for a name that is neither built in nor in the settings with a URL.
    """
    plain = name.replace("-", "_").removesuffix(SUFFIX)
    section = settings.agent_pools.get(plain + SUFFIX) or settings.agent_pools.get(plain)
    if section is None or not section.url:
        return [pool_of(name, settings, fill_at)]
    remote = McpPool(plain, url=section.url)
    if plain not in BUILT_IN:
        return [remote]
    own = pool_of(name, settings, fill_at)
    own.actions.clear()
    return [own, remote]


def known_pools(settings: Settings, pools: Sequence[AgentPool] = ()) -> dict[str, PoolInfo]:
    """Return what the planner may address: the built-in pools, those in the settings, and those given."""
    known = {name: PoolInfo(name, None, section.enabled) for name, section in settings.agent_pools.items()}
    built_in = [pool_of(name, settings) for name in BUILT_IN if not settings.agent_pools[name + SUFFIX].url]
    for pool in [*built_in, *_memory(settings.agent_pools), *pools]:
        enabled = known[pool.address].enabled if pool.address in known else True
        known[pool.address] = PoolInfo(pool.address, pool.known_actions, enabled)
    return known


def context_of(settings: Settings, pools: Sequence[AgentPool] = ()) -> ContextOf:
    """Return how advance learns of its surroundings."""
    known = known_pools(settings, pools)
    custom = {name.removesuffix(SUFFIX) for name in settings.agent_pools} - set(BUILT_IN)
    trained = {RL} if settings.orchestrator.enable_rl else set()
    alphas = frozenset({"alpha", *custom, *trained, *(pool.name for pool in pools if pool.role == "alpha")})

    def context(message_id: str, now: int) -> Context:
        return Context(
            message_id=message_id,
            now=now,
            pools=known,
            max_concurrent_tasks=settings.orchestrator.max_concurrent_tasks,
            limits=settings.risk.limits,
            initial_cash=settings.sandbox.initial_capital,
            alpha_pools=alphas,
        )

    return context


def kinds_of(pool: AgentPool, memory: Memory | None = None) -> list[TaskKind]:
    """Return a pool's tasks: one kind for its handlers, one for its workflow steps, which may read the memory."""
    kinds = []
    if pool.handlers:
        kinds.append(TaskKind(pool.name, owner_of(pool), lambda: PoolProcessor(pool)))
    if pool.answers_steps:
        kinds.append(TaskKind(f"{pool.name}.steps", "workflow", lambda: StepProcessor(pool, memory)))
    return kinds


def control_kind(context: ContextOf, retention: Retention = DEFAULT) -> TaskKind:
    """Return the orchestrator's own tasks."""
    return TaskKind(ControlProcessor.pool, "workflow", lambda: ControlProcessor(context, retention))


def all_kinds(
    pools: Sequence[AgentPool], context: ContextOf, memory: Memory | None = None, *, retention: Retention = DEFAULT
) -> list[TaskKind]:
    """Return the tasks of a whole system, those of the memory pool among them."""
    every = [*pools, *_memory([pool.address for pool in pools])]
    return [control_kind(context, retention), *(kind for pool in every for kind in kinds_of(pool, memory))]


def _memory(taken: Collection[str]) -> list[AgentPool]:
    """Return the memory pool, unless a custom pool has its name."""
    pool = build_memory()
    return [] if pool.address in taken else [pool]
