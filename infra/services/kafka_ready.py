"""Ask brokers over Kafka's own protocol whether they serve."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streams.kafka_security import KafkaSecurity


def broker_ids(bootstrap: str, timeout_s: float = 5.0, security: KafkaSecurity | None = None) -> frozenset[int]:
    """Return the ids of the brokers that the metadata names, none where nobody answers in time."""
    # In a thread: the caller may be inside a running event loop.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, _broker_ids(bootstrap, timeout_s, security or KafkaSecurity())).result()


async def _broker_ids(bootstrap: str, timeout_s: float, security: KafkaSecurity) -> frozenset[int]:
    options = security.client_options()
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=int(timeout_s * 1000), **options)
    try:
        async with asyncio.timeout(timeout_s):
            await admin.start()
            cluster = await admin.describe_cluster()
    except (KafkaError, OSError):
        return frozenset()
    finally:
        await admin.close()
    return frozenset(broker["node_id"] for broker in cluster["brokers"])
