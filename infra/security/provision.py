"""Prepare a secure Kafka: topics, users, and the rights of every component."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agents.pool import AgentPool
from infra.security.acls import Acl, acls
from infra.security.components import components
from infra.security.grants import grant, set_passwords
from infra.security.keys import ADMIN, Keys
from infra.services import KafkaService
from infra.services.ports import HOST
from infra.sweep.worker import NAME as WORKER
from orchestrator.credentials import kafka_security
from orchestrator.faust_kept import TABLE
from orchestrator.layers import merged
from orchestrator.settings import Settings
from orchestrator.wiring import all_kinds, broker_of, context_of, kinds_of, partitions_of, pools_of
from rl.streaming import ACTOR, LEARNER
from streams.broker import TopicConfig
from streams.host import create_topology
from streams.redrive import REDRIVE
from streams.topics import changelog


def rights(settings: Settings, custom: Sequence[AgentPool] = ()) -> list[Acl]:
    """Return the rights of the components of these settings, custom pools among them."""
    return acls(components(settings, custom), settings.kafka.prefix)


async def prepare(
    settings: Settings, custom: Sequence[AgentPool] = (), environ: Mapping[str, str] | None = None
) -> None:
    """Create the topics and grant the rights that are missing, as the administrator that environ names.

    Raises SecurityError where that user may not.
    """
    await _create_topics(settings, custom, environ)
    await grant(settings.kafka.bootstrap, kafka_security(settings.kafka, environ), rights(settings, custom))


async def prepare_local(service: KafkaService, settings: Settings, custom: Sequence[AgentPool] = ()) -> None:
    """Prepare a secure cluster on this machine, its users too: one for each component, and the administrator."""
    assert service.security is not None
    keys = Keys(service.security)
    listeners = ",".join(f"{HOST}:{each.certificate_port}" for each in service.brokers)
    users = [ADMIN, *(component.name for component in components(settings, custom))]
    await set_passwords(listeners, keys.admin(), {user: keys.password(user) for user in users})
    as_admin = {
        "bootstrap": listeners,
        "security_protocol": "SSL",
        "ssl_ca_file": str(keys.ca),
        "ssl_certificate_file": str(keys.certificate(ADMIN)),
        "ssl_key_file": "",
    }
    await prepare(Settings.from_dict(merged(settings.model_dump(), {"kafka": as_admin})), custom, {})


async def _create_topics(settings: Settings, custom: Sequence[AgentPool], environ: Mapping[str, str] | None) -> None:
    kinds = all_kinds(pools_of(settings), context_of(settings))
    kinds += [kind for pool in custom for kind in kinds_of(pool)]
    partitions = partitions_of(settings)
    broker = broker_of(settings, environ)
    await broker.start()
    try:
        await create_topology(broker, partitions, kinds)
        more = {TABLE: partitions["workflow"], WORKER: partitions["backtest"], ACTOR: 1, LEARNER: 1, REDRIVE: 1}
        await broker.create_topics(
            {changelog(name): TopicConfig(count, compacted=True) for name, count in more.items()}
        )
    finally:
        await broker.stop()
