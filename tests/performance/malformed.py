"""A flood of malformed records of many kinds: each in the dead letters, each sound one handled, memory flat.

python -m tests.performance.malformed [--records N] [--seed S] [--broker memory|kafka|both]; the default is 1,000,000 on
each. On Kafka it uses FINAGENT_KAFKA_BOOTSTRAP, or starts a local broker. Exit code 1 where a promise is broken.

Memory is flat where the mean of the last third of the time is at most 5 % above that of the middle third; the first
third is warm-up.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import statistics
import sys
import time
import uuid
from typing import Any

from streams.broker import Broker
from streams.kafka_broker import KafkaBroker, KafkaOptions
from streams.memory_broker import MemoryBroker
from tests.flooded import CHUNK, run
from tests.performance.__main__ import kafka

MAX_GROWTH = 0.05


async def flooded(broker: Broker, records: int, seed: int) -> dict[str, Any]:
    """Run the flood and return its figures."""
    began, cpu = time.perf_counter(), time.process_time()
    await broker.start()
    try:
        seen = await run(broker, records, seed)
    finally:
        await broker.stop()
    rss = seen.rss_mb
    thirds = [rss[i * len(rss) // 3 : (i + 1) * len(rss) // 3] or rss for i in range(3)]
    means = [round(statistics.mean(third), 1) for third in thirds]
    return {
        "records": records,
        "seed": seed,
        "dead_letters": seen.kinds.total(),
        "by_kind": dict(sorted(seen.kinds.items())),
        "handled": seen.handled,
        "refused_at_the_edge": seen.refused_at_the_edge,
        "seconds": round(time.perf_counter() - began, 1),
        "seconds_of_work": round(seen.seconds, 1),
        "records_per_s_of_work": round(records / seen.seconds),
        "cpu_s": round(time.process_time() - cpu, 1),
        "rss_mb_by_thirds": means,
        "rss_mb_every_tenth": [round(each) for each in rss[:: max(len(rss) // 10, 1)]],
        "growth": round(means[2] / means[1] - 1, 4),
    }


def _checked(figures: dict[str, Any]) -> bool:
    total = figures["dead_letters"] + figures["handled"] + figures["refused_at_the_edge"]
    return bool(total == figures["records"] and figures["growth"] <= MAX_GROWTH)


def main() -> None:
    """Run it on one broker or both, and print a JSON line for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--broker", choices=("memory", "kafka", "both"), default="both")
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    sound = True
    if given.broker != "kafka":
        sound &= _told("memory", asyncio.run(flooded(MemoryBroker(), given.records, given.seed)))
    if given.broker != "memory":
        with kafka() as address:
            options = KafkaOptions(address, prefix=f"malformed-{uuid.uuid4().hex[:8]}.")
            sound &= _told("kafka", asyncio.run(flooded(KafkaBroker(options), given.records, given.seed)))
    sys.exit(not sound)


def _told(name: str, figures: dict[str, Any]) -> bool:
    kept = _checked(figures)
    conditions = {"cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1), "records_at_once": CHUNK}
    print(json.dumps({"broker": name, "kept": kept, **figures, **conditions}), flush=True)
    return kept


if __name__ == "__main__":
    main()
