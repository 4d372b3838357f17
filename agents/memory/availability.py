"""What the project says where the shared memory cannot be reached; work goes on without it."""

from __future__ import annotations

import logging

from streams.errors import StoreError

log = logging.getLogger("FinAgentOrchestrator")
UNAVAILABLE = "Memory agent unavailable, running without persistence"


class Availability:
    """Whether a process has its memory: an outage is told once, whoever of the process meets it first."""

    def __init__(self) -> None:
        self._without: set[str] = set()

    def lost(self, who: str, error: StoreError) -> None:
        """Warn that there is no memory for now; the reason stands in the next line of the log."""
        if not self._without:
            log.warning(UNAVAILABLE)
            log.info("%s", error)
        self._without.add(who)

    def back(self, who: str) -> None:
        """Note that one of those who lost it has it again; once all have, the next outage is told again."""
        self._without.discard(who)
