"""A process in the middle of a transaction: it has written, says so, and goes no further."""

import asyncio
import sys
import time
from collections.abc import Sequence

from streams.kafka_broker import KafkaBroker, KafkaOptions
from streams.record import Record


def stand_still(_: Sequence[int]) -> list[Record]:
    """Wait to be killed, where the rest of the transaction would be made."""
    print("written", flush=True)
    time.sleep(600)
    return []


async def main(bootstrap: str, prefix: str, task: str, topic: str, timeout_ms: str) -> None:
    """Begin a transaction of the task and write to the topic."""
    broker = KafkaBroker(KafkaOptions(bootstrap, prefix=prefix, transaction_timeout_ms=int(timeout_ms)))
    await broker.start()
    async with broker.transactions(task) as transactions:
        await transactions.commit([Record(topic, "a", b"never committed", partition=0)], None, stand_still)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
