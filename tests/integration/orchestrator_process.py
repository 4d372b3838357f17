"""An orchestrator process for tests: `python -m tests.integration.orchestrator_process SETTINGS_JSON FAULT AT`.

It prints one line `topic key` for each record that it is about to commit, and `fenced` where it may not. FAULT: what
happens to it at its commit number AT, counted from 1: `die_before`, `die_after`, or `pause_before` it, with SIGSTOP;
`none` for nothing.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence

from orchestrator.faust_engine import FaustEngine
from orchestrator.settings import Settings
from orchestrator.wiring import context_of
from streams.errors import Fenced
from streams.record import Record, TopicPartition


class FaultyEngine(FaustEngine):
    """Says what it commits, and dies or stands still when it is told to."""

    fault = "none"
    at = 0
    commits = 0

    async def _commit(self, partition: int, records: Sequence[Record], offsets: Mapping[TopicPartition, int]) -> None:
        self.commits += 1
        fault = self.fault if self.commits == self.at else "none"
        if fault == "die_before":
            os._exit(9)
        if fault == "pause_before":
            os.kill(os.getpid(), signal.SIGSTOP)
        for record in records:
            print(record.topic, record.key, flush=True)
        try:
            await super()._commit(partition, records, offsets)
        except Fenced:
            print("fenced", flush=True)
            raise
        if fault == "die_after":
            os._exit(9)


async def main(settings: Settings, fault: str, at: int) -> None:
    """Run until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    engine = FaultyEngine(settings, context_of(settings))
    engine.fault, engine.at = fault, at
    await engine.run(stop)


if __name__ == "__main__":
    asyncio.run(main(Settings.model_validate_json(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
