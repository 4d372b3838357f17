"""Policies on the topic rl.policies: publishing them, and whether one may decide for a strategy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.strategy import RL, alpha_pool_of, model_parameters
from rl.parameters import parse_parameters
from rl.publishing import publication
from rl.serving import ServedPolicy
from schemas import PolicyPublished, StrategySpec
from streams.broker import Broker
from streams.clock import Clock
from streams.errors import ConfigError, DecodeError, MissingData
from streams.ids import derive_id
from streams.reading import read_whole
from streams.record import Envelope, Record, TopicPartition
from streams.serde import Serde
from streams.topics import POLICIES

SOURCE = "client"
"""Who publishes a policy that may decide: a program of the user's."""


async def policies_of(broker: Broker, serde: Serde) -> list[PolicyPublished]:
    """Return the policies that may serve, every version that the topic still holds, in its order."""
    found = []
    async for record in read_whole(broker, [TopicPartition(POLICIES.name, 0)]):
        try:
            message = serde.decode(record.value)
        except DecodeError:
            # Whoever follows the topic sets it aside.
            continue
        if isinstance(message, PolicyPublished) and message.serving:
            found.append(message)
    return found


async def publish(broker: Broker, serde: Serde, clock: Clock, data: bytes, policy_id: str) -> PolicyPublished:
    """Publish a file as the next version of a policy; its newest version once more changes nothing.

    Raises InvalidData where the file was changed, is foreign, or cannot serve.
    """
    versions = [policy for policy in await policies_of(broker, serde) if policy.policy_id == policy_id]
    newest = max(versions, key=lambda policy: policy.version, default=None)
    now = clock.now()
    made = publication(data, policy_id, newest.version + 1 if newest else 1, now)
    if newest is not None and newest.sha256 == made.sha256:
        return newest
    message_id = derive_id(policy_id, SOURCE, made.version, made.sha256)
    envelope = Envelope(message_id, PolicyPublished.__name__, SOURCE, now, made.training_id, message_id)
    await broker.publish(
        [Record(POLICIES.name, policy_id, serde.encode(made), envelope.headers(), 0, now // 1_000_000)]
    )
    return made


async def check_strategy(broker: Broker, serde: Serde, spec: StrategySpec) -> None:
    """Raise ConfigError, MissingData or InvalidData where a strategy's policy is not there or cannot serve it."""
    if alpha_pool_of(spec.parameters) != RL:
        return
    asked = parse_parameters(model_parameters(spec.parameters))
    versions = [policy for policy in await policies_of(broker, serde) if policy.policy_id == asked.policy_id]
    found = chosen(versions, asked.version, asked.sha256)
    if found is None:
        known = ", ".join(str(policy.version) for policy in versions) or "none"
        what = f"version {asked.version}" if asked.version else asked.sha256 or "any version"
        raise MissingData(f"policy {asked.policy_id!r}: {what} is not on rl.policies; versions there: {known}")
    check_serves(ServedPolicy.read(found.weights, found.sha256), spec.symbols, spec.parameters)


def chosen(versions: Sequence[PolicyPublished], version: int | None, sha256: str | None) -> PolicyPublished | None:
    """Return the version asked for, or the newest."""
    if version or sha256:
        return next((each for each in versions if version == each.version or sha256 == each.sha256), None)
    return max(versions, key=lambda each: each.version, default=None)


def check_serves(served: ServedPolicy, symbols: Sequence[str], parameters: Mapping[str, Any]) -> None:
    """Raise ConfigError where a policy was not trained to trade these symbols, or sells short where it may not."""
    by_symbol = {name.rpartition(".")[0]: name for name in served.serving.instruments}
    limits = parameters.get("limits", {})
    if not isinstance(limits, Mapping):
        raise ConfigError(f"limits must be a dict, got {limits!r}")
    served.check_run([by_symbol.get(symbol, symbol) for symbol in symbols], bool(limits.get("allow_short", False)))
