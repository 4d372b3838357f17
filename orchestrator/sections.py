"""The sections of the settings: every key that code reads, with its default."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from orchestrator.wording import redacted
from rl.config import Precision, RLAlgorithm, RLConfiguration
from schemas import RiskLimits
from streams.kafka_security import Mechanism, Protocol

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
Mode = Literal["development", "production", "sandbox"]
BUILT_IN_POOLS = (
    "data_agent_pool",
    "alpha_agent_pool",
    "portfolio_agent_pool",
    "risk_agent_pool",
    "transaction_cost_agent_pool",
    "execution_agent_pool",
)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def _listed(value: object) -> object:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _date(value: object) -> object:
    """Return an ISO date as text; YAML reads an unquoted one as a date."""
    text = value.isoformat() if isinstance(value, dt.date) else value
    if isinstance(text, str) and text:
        dt.date.fromisoformat(text)
    return text


class Section(BaseModel):
    """A frozen part of the settings; unknown keys are refused, passwords in URLs do not show in its repr."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, redacted(value) if isinstance(value, str) else value


class OrchestratorSection(Section):
    """How the orchestrator works, and where its server listens."""

    host: str = Field(default="127.0.0.1", min_length=1)
    """Address that the server listens on; one that is not loopback needs FINAGENT_API_KEY."""
    port: int = Field(default=9000, ge=0, le=65535)
    """Its port; 0: any free one, which is printed."""
    workflow_retention_s: float = Field(default=86_400.0, ge=60)
    """How long an ended workflow is remembered, in seconds."""
    max_ended_workflows: int = Field(default=2_000, ge=1)
    """Ended workflows that are remembered at most, per partition of commands; the oldest go first."""
    max_concurrent_tasks: int = Field(default=100, ge=1)
    """Steps of one workflow, and workflows that the server lets in, that may be in flight at once."""
    enable_rl: bool = True
    """False: training, and strategies that a policy decides for, are refused."""
    enable_sandbox: bool = True
    """False: scenarios and backtests are refused."""


class ServerSection(Section):
    """The server's limits, and where it keeps files."""

    rate_limit_per_s: float = Field(default=200.0, ge=0)
    """Requests per second of one client address, with bursts of as many; 0: no limit."""
    max_body_bytes: int = Field(default=1_048_576, ge=1024)
    """Largest request body."""
    history: int = Field(default=10_000, ge=100)
    """Newest records that are listed of each kind."""
    results_folder: str = Field(default=".finagent/backtests", min_length=1)
    """Where backtests keep their results, relative to the working folder."""


class PartitionsSection(Section):
    """Partitions of the topics of each key family, for topics that are created."""

    account: int = Field(default=1, ge=1)
    """signals, targets, risk, fills, positions."""
    instrument: int = Field(default=1, ge=1)
    """ticks, bars, orders."""
    workflow: int = Field(default=1, ge=1)
    """commands, steps, results, workflows."""
    backtest: int = Field(default=4, ge=1)
    """backtests, backtest_results: as many workers can share a sweep."""
    training: int = Field(default=4, ge=1)
    """rl.transitions."""


class KafkaSection(Section):
    """Where the topics are."""

    bootstrap: str = ""
    """host:port, comma-separated; empty: the broker in this process's memory."""
    prefix: str = Field(default="", pattern=r"^[A-Za-z0-9._-]*$")
    """Put before every topic, consumer group and transactional id."""
    partitions: PartitionsSection = Field(default_factory=PartitionsSection)
    replication: int = Field(default=1, ge=1)
    """Copies of each partition, for topics that are created."""
    transaction_timeout_ms: int = Field(default=10_000, ge=1_000)
    """After this time the broker aborts a transaction whose task went away, in ms."""
    request_timeout_ms: int = Field(default=5_000, ge=1_000)
    """After this time without an answer a client goes to another broker, in ms."""
    instance_id: str = Field(default="", pattern=r"^[A-Za-z0-9._-]{0,200}$")
    """Names this process in its groups, so that it takes its tasks back after a restart; empty: it comes as new."""
    security_protocol: Protocol = "PLAINTEXT"
    """PLAINTEXT, SSL, SASL_SSL, or on loopback SASL_PLAINTEXT; user and password come from the environment alone."""
    sasl_mechanism: Mechanism = "SCRAM-SHA-512"
    """How the password is proved: SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN."""
    ssl_ca_file: str = ""
    """PEM certificates of the authorities that vouch for the brokers; empty: those of the system."""
    ssl_certificate_file: str = ""
    """PEM certificate of this client, where the brokers ask for one; empty: none."""
    ssl_key_file: str = ""
    """Its unlocked PEM key; empty: in the certificate's file."""

    @model_validator(mode="after")
    def _check_password_is_covered(self) -> Self:
        hosts = {address.strip().rpartition(":")[0].strip("[]") for address in self.bootstrap.split(",")}
        if self.security_protocol == "SASL_PLAINTEXT" and (far := sorted(filter(None, hosts - _LOOPBACK))):
            raise ValueError(f"SASL_PLAINTEXT would show the password to the network of {far[0]}: set SASL_SSL")
        return self


class RedisSection(Section):
    """Where the shared memory is."""

    url: str = ""
    """redis:// or, with TLS, rediss://[user:password@]host:port/db; empty: a store in this process's memory."""
    snapshot_interval_s: float = Field(default=10.0, ge=0)
    """How often a task on Kafka saves its state there, in seconds, for a quicker start; 0: never."""
    ssl_ca_file: str = ""
    """PEM certificates of the authorities that vouch for it; empty: those of the system."""


class SchemaRegistrySection(Section):
    """The schema registry of the messages on Kafka."""

    url: Annotated[str, Field(pattern=r"^(https?://[^/@\s]+(/[^@\s]*)?)?$")] = ""
    """Base of its Confluent-compatible API, http:// or https://; empty: none, messages are Avro single objects."""
    register_schemas: bool = True
    """False: a process only looks its schemas up, and does not start where one is missing."""
    write_ids: bool = True
    """False: messages are read in both framings and written as Avro single objects, while a registry comes or goes."""
    timeout_s: float = Field(default=10.0, gt=0)
    """Time for each of its answers, in seconds."""
    ssl_ca_file: str = ""
    """PEM certificates of the authorities that vouch for it; empty: those of the system."""


class PoolSection(Section):
    """One agent pool."""

    enabled: bool = True
    """False: no step is addressed to it."""
    url: str = ""
    """Endpoint of a pool that is an MCP server; empty: it is met on the topics."""


class ObservabilitySection(Section):
    """What the system tells of itself, and from when on it complains."""

    log_format: Literal["text", "json"] = "text"
    """How log lines are written: for people, or one JSON object each."""
    metrics_port: int = Field(default=0, ge=0, le=65535)
    """Loopback port on which each process serves its own metrics, the first free one from here on; 0: none."""
    tracing: bool = False
    """True: spans are sent by OTLP/HTTP, as the OTEL_* variables say; needs the extra otel."""
    high_memory_gb: float = Field(default=8.0, gt=0)
    """Resident memory of a process that is much, in GB of 10^9 bytes."""
    full_disk_ratio: float = Field(default=0.95, gt=0, le=1)
    """Share in use from which on the disk of the working folder counts as full."""
    stall_degraded_s: float = Field(default=15.0, gt=0)
    """A task that stands still for so long while records wait makes the system degraded."""
    stall_critical_s: float = Field(default=60.0, gt=0)
    """A task that stands still for so long while records wait makes the system critical."""


class RlEngineSection(Section):
    """How policies are trained where initialize_rl_engine is given no configuration; RLConfiguration has it all."""

    algorithm: RLAlgorithm = RLAlgorithm.TD3
    """TD3, DDPG, SAC, PPO or A2C."""
    learning_rate: float | None = Field(default=None, gt=0, lt=1)
    """Step size of the optimiser; none: that of the algorithm."""
    buffer_size: int = Field(default=1_000_000, ge=1)
    """Transitions that the replay buffer keeps."""
    batch_size: int | None = Field(default=None, ge=1)
    """Transitions per gradient step; none: that of the algorithm."""
    gamma: float = Field(default=0.99, ge=0, le=1)
    """Discount per step."""
    tau: float = Field(default=0.005, gt=0, le=1)
    """Share of the weights that a target network takes over at each update."""
    net_arch: Annotated[tuple[int, ...] | None, BeforeValidator(_listed)] = None
    """Units of the hidden layers; none: those of the algorithm."""
    num_envs: int | None = Field(default=None, ge=1)
    """Environments that are stepped at once; none: 8."""
    update_to_data: float | None = Field(default=None, gt=0)
    """Gradient steps per environment step; none: one for each step of all environments."""
    learning_starts: int = Field(default=1_000, ge=0)
    """Steps with uniformly random actions before the first gradient step."""
    normalize_observations: bool = False
    """True: observations are brought to mean 0 and standard deviation 1."""
    precision: Precision = "fp32"
    """fp32, or auto: the fastest matrix products that the processor has."""
    device: str = Field(default="cpu", pattern=r"^(cpu|cuda(:\d+)?)$")
    """cpu, cuda or cuda:N."""
    threads: int = Field(default=1, ge=1)
    """Threads of the matrix products."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Of everything that is drawn."""
    folder: str = Field(default=".finagent/training", min_length=1)
    """Where trainings keep policies, checkpoints and results, relative to the working folder."""

    def configuration(self) -> RLConfiguration:
        """Return what a training without a configuration of its own is done by."""
        given = self.model_dump(exclude={"folder"}, exclude_none=True)
        return RLConfiguration.model_validate(given)


class DataSection(Section):
    """Where market data comes from."""

    providers: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(default=("sample",), min_length=1)
    """Tried in this order."""
    cache_entries: int = Field(default=64, ge=0)
    """Fetches that the data pool remembers; 0: none."""


class SandboxSection(Section):
    """Backtests and paper runs."""

    initial_capital: float = Field(default=1_000_000.0, gt=0)
    """Cash at the start, in the account's currency."""
    commission_rate: float = Field(default=0.001, ge=0, lt=1)
    """Commission, as a share of traded value."""
    data_start_date: Annotated[str, BeforeValidator(_date)] = ""
    """First session of a scenario that names none, ISO date; empty: the first that all its symbols have."""


class RiskSection(Section):
    """Pre-trade risk."""

    limits: RiskLimits = Field(default_factory=RiskLimits)
    """Limits of a run whose strategy sets none."""
    cash_buffer: float = Field(default=0.02, ge=0, lt=1)
    """Share of an order's value that is reserved on top of it until it is done."""


class CostsSection(Section):
    """What execution costs besides commission."""

    half_spread_bps: float = Field(default=1.0, ge=0, lt=10_000)
    """Half the bid-ask spread, in basis points of the price."""
    impact_coefficient: float = Field(default=0.1, ge=0)
    """Market impact, in volatilities, of trading the whole volume; 0 switches it off."""
    max_participation: float = Field(default=0.1, gt=0, le=1)
    """Largest share of a bar's volume that all orders together may trade."""
