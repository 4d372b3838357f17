"""Logging of the command line: to stderr, `2024-01-31 09:30:00,000 WARNING - FinAgentOrchestrator: ...`."""

from __future__ import annotations

import logging

FORMAT = "%(asctime)s %(levelname)s - %(name)s: %(message)s"
_LIBRARIES = ("aiokafka", "asyncio", "faust", "kafka", "mode")
# A broker that cannot be reached, or a lost membership, is told by our own errors.
_SILENT = ("aiokafka.client", "aiokafka.conn", "aiokafka.cluster", "aiokafka.producer.sender")


def configure(level: str, *, debug: bool = False) -> None:
    """Log at the level; of libraries only errors, with debug also their warnings."""
    logging.basicConfig(format=FORMAT, level=logging.DEBUG if debug else level, force=True)
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING if debug else logging.ERROR)
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.WARNING if debug else logging.CRITICAL)
