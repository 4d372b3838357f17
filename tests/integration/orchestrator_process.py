"""An orchestrator process for tests: `python -m tests.integration.orchestrator_process SETTINGS_JSON EXIT_AT`.

It prints one line `topic key` for each record that it is about to send. EXIT_AT: 0, or the number of the sending,
counted from 1, before which the process dies, its state already written.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence

from orchestrator.faust_engine import FaustEngine
from orchestrator.settings import Settings
from orchestrator.wiring import context_of
from streams.record import Record


class TellingEngine(FaustEngine):
    """Says what it sends, and dies when it is told to."""

    exit_at = 0
    sendings = 0

    async def _send(self, records: Sequence[Record]) -> None:
        self.sendings += bool(records)
        if self.sendings == self.exit_at:
            os._exit(9)
        for record in records:
            print(record.topic, record.key, flush=True)
        await super()._send(records)


async def main(settings: Settings, exit_at: int) -> None:
    """Run until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    engine = TellingEngine(settings, context_of(settings))
    engine.exit_at = exit_at or -1
    await engine.run(stop)


if __name__ == "__main__":
    asyncio.run(main(Settings.model_validate_json(sys.argv[1]), int(sys.argv[2])))
