"""The RL pool: an alpha pool that decides by trained policies, hot-swapped by the topic rl.policies."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import Field

from agents.alpha.pool import period_of
from agents.context import Because, Context, Run, Slice, bar_id
from agents.pool import AgentPool
from rl.parameters import RlParameters, parse_parameters
from rl.serving import Seen, ServedPolicy, split
from schemas import Bar, CorporateAction, Direction, PolicyInForce, PolicyPublished, StrategyStarted
from schemas.columns import Float64
from streams.errors import MissingData
from streams.state import State

NAME = "rl"
"""The pool, and the strategy_type of its runs."""
KEPT = 8
"""Newest versions of a policy that are kept, besides those that a run names."""


class Shelf(State):
    """The versions of one policy that this task has read."""

    versions: dict[int, str] = Field(default_factory=dict)
    """SHA-256 by version."""


class Weights(State):
    """A policy's file."""

    data: str = ""
    """Its bytes in base64; empty once it was let go."""


class RunState(State):
    """What the pool remembers for one run."""

    seen: Seen = Field(default_factory=Seen)
    period: str = ""
    """The rebalance period of the last decision."""


@dataclass
class Served:
    """Policies and parameters that were read; each follows from its bytes alone, so that keeping it changes nothing."""

    _policies: dict[str, ServedPolicy] = field(default_factory=dict)
    _parameters: dict[str, tuple[StrategyStarted, RlParameters]] = field(default_factory=dict)

    def parameters(self, started: StrategyStarted) -> RlParameters:
        """Return a run's parameters; raise ConfigError where they are wrong."""
        known = self._parameters.get(started.run_id)
        if known is None or known[0] is not started:
            known = self._parameters[started.run_id] = (started, parse_parameters(started.parameters))
        return known[1]

    def policy(self, chosen: PolicyInForce, context: Context) -> ServedPolicy:
        """Return a version; raise MissingData where this task does not hold it, InvalidData where it cannot serve."""
        served = self._policies.get(chosen.sha256)
        if served is None:
            data = context.state(Weights, chosen.sha256).data
            if not data:
                raise MissingData(
                    f"version {chosen.version} of policy {chosen.policy_id!r} (SHA-256 {chosen.sha256}) is not on "
                    "rl.policies any more: give its file to a backtest, or publish it again"
                )
            served = self._policies[chosen.sha256] = ServedPolicy.read(base64.b64decode(data), chosen.sha256)
        return served


def build() -> AgentPool:
    """Return the pool."""
    pool, served = AgentPool(NAME, role="alpha"), Served()

    @pool.on
    def on_policy(published: PolicyPublished, shelf: Shelf, context: Context) -> None:
        """Keep a version; whether it may decide for a run is told when it is to."""
        if published.serving and published.version not in shelf.versions:
            _keep(published, shelf, context)

    @pool.on
    def on_slice(slice_: Slice, run: Run, state: RunState, context: Context) -> Iterator[Because]:
        """Decide where every instrument has a bar, by the version that the slice names, once a rebalance period."""
        return _decide(slice_, run, state, context, served)

    return pool


def _keep(published: PolicyPublished, shelf: Shelf, context: Context) -> None:
    context.state(Weights, published.sha256).data = base64.b64encode(published.weights).decode()
    shelf.versions[published.version] = published.sha256
    named = {(run.parameters.get("version"), run.parameters.get("sha256")) for run in context.all_runs.values()}
    old = sorted(shelf.versions)[:-KEPT]
    for version in old:
        digest = shelf.versions[version]
        if (version, None) not in named and (None, digest) not in named:
            del shelf.versions[version]
            if digest not in shelf.versions.values():
                context.state(Weights, digest).data = ""


def _decide(slice_: Slice, run: Run, state: RunState, context: Context, served: Served) -> Iterator[Because]:
    bars = {bar.instrument_id: bar for _, bar in slice_.of(Bar)}
    actions = [action for _, action in slice_.of(CorporateAction)]
    complete = all(name in bars for name in run.instrument_ids)
    if not complete and not actions:
        return
    chosen = _chosen(slice_, served.parameters(run.started), context)
    policy = served.policy(chosen, context)
    policy.check_run(run.instrument_ids, run.started.limits.allow_short)
    _split(actions, policy, state.seen)
    if not complete:
        return
    closes, volumes = policy.bars(bars)
    period = period_of(run.started.rebalance_frequency, slice_.session_date, slice_.ts)
    due = period != state.period and not (run.started.once and state.period)
    targets = policy.advance(state.seen, closes, volumes, decide=due)
    if targets is not None:
        state.period = period
        yield from _signals(run, chosen, policy, targets, bars)


def _chosen(slice_: Slice, parameters: RlParameters, context: Context) -> PolicyInForce:
    """Return the version that decides: the one that the run names, else the one that the slice names."""
    name = parameters.policy_id
    if parameters.version or parameters.sha256:
        return _pinned(parameters, context.state(Shelf, name).versions)
    named = next((policy for policy in slice_.policies if policy.policy_id == name), None)
    if named is None:
        raise MissingData(f"policy {name!r} is not on rl.policies: train it, or publish its file")
    return named


def _pinned(parameters: RlParameters, versions: Mapping[int, str]) -> PolicyInForce:
    name = parameters.policy_id
    for version in sorted(versions):
        if parameters.version == version or parameters.sha256 == versions[version]:
            return PolicyInForce(policy_id=name, version=version, sha256=versions[version])
    asked = f"version {parameters.version}" if parameters.version else f"version with the SHA-256 {parameters.sha256}"
    raise MissingData(f"policy {name!r} has no {asked} on rl.policies, there are {sorted(versions)}")


def _split(actions: Sequence[CorporateAction], policy: ServedPolicy, seen: Seen) -> None:
    """Take splits out of what is remembered: they lie before the slice's own prices."""
    own = policy.serving.instruments
    for action in actions:
        if action.ratio is not None and action.instrument_id in own:
            split(seen, own.index(action.instrument_id), action.ratio)


def _signals(
    run: Run, chosen: PolicyInForce, policy: ServedPolicy, targets: Float64, bars: Mapping[str, Bar]
) -> Iterator[Because]:
    """Yield a signal for each instrument: its target weight as score, its share of gross_cap as confidence."""
    for name, weight in zip(policy.serving.instruments, targets.tolist(), strict=True):
        direction: Direction = "BUY" if weight > 0 else "SELL"
        signal = run.signal(
            name,
            direction,
            price=bars[name].close,
            score=weight,
            confidence=min(1.0, abs(weight) / policy.serving.rules.gross_cap),
            target_weight=weight,
            model=f"{chosen.policy_id}@{chosen.version}",
        )
        yield Because(signal, bar_id(bars[name]))
