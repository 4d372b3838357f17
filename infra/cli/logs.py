"""Logging of the command line: to stderr, `2024-01-31 09:30:00,000 WARNING - FinAgentOrchestrator: ...`."""

from __future__ import annotations

import logging

FORMAT = "%(asctime)s %(levelname)s - %(name)s: %(message)s"
_LIBRARIES = ("asyncio", "faust", "kafka", "mode", "orchestrator.faust_app")


def configure(level: str, *, debug: bool = False) -> None:
    """Log at the level; of libraries warnings."""
    logging.basicConfig(format=FORMAT, level=logging.DEBUG if debug else level, force=True)
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
    # It logs as errors what it then tries again; what it gives up on comes as our own BrokerError.
    logging.getLogger("aiokafka").setLevel(logging.WARNING if debug else logging.CRITICAL)
