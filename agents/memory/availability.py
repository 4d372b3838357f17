"""What the project says where the shared memory cannot be reached; work goes on without it."""

from __future__ import annotations

import logging

from streams.errors import StoreError

log = logging.getLogger("FinAgentOrchestrator")
UNAVAILABLE = "Memory agent unavailable, running without persistence"


def unavailable(error: StoreError) -> None:
    """Warn that there is no memory for now; the reason stands in the next line of the log."""
    log.warning(UNAVAILABLE)
    log.info("%s", error)
