"""Logging of the command line, to stderr: `2024-01-31 09:30:00,000 WARNING - FinAgentOrchestrator: ...`, or JSON."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from orchestrator.wording import redacted

FORMAT = "%(asctime)s %(levelname)s - %(name)s: %(message)s"
_LIBRARIES = ("asyncio", "faust", "httpx", "httpx2", "kafka", "mcp", "mode", "orchestrator.faust_app", "uvicorn")
_SECRET = re.compile(r"(KEY|SECRET|TOKEN|PASSWORD)$")
_SECRET_FILE = re.compile(r"(SECRET|TOKEN|PASSWORD)_FILE$")
_SHORTEST = 8
"""Shorter values stand in too much other text to be taken out of it."""


def configure(level: str, *, debug: bool = False, log_format: str = "text") -> None:
    """Log at the level; of libraries warnings. log_format: text, or json for one object a line."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter_of(log_format, os.environ))
    logging.basicConfig(handlers=[handler], level=logging.DEBUG if debug else level, force=True)
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
    # It logs as errors what it then tries again; what it gives up on comes as our own BrokerError.
    logging.getLogger("aiokafka").setLevel(logging.WARNING if debug else logging.CRITICAL)


def formatter_of(log_format: str, environ: Mapping[str, str]) -> logging.Formatter:
    """Return the formatter of a format; neither lets passwords in URLs or keys of the environment through."""
    clean = cleaner(environ)
    if log_format == "json":
        from infra.observability.json_logs import JsonLines

        return JsonLines(clean)
    return TextLines(clean)


def cleaner(environ: Mapping[str, str]) -> Callable[[str], str]:
    """Return what takes secrets out of a text: user and password of URLs, keys and tokens of the environment.

    Those in the files that it names are among them.
    """
    known = [value for name, value in environ.items() if _SECRET.search(name)]
    known += [value for name, path in environ.items() if _SECRET_FILE.search(name) and (value := _content(path))]
    known = [value for value in known if len(value) >= _SHORTEST]

    def clean(text: str) -> str:
        text = redacted(text)
        for value in known:
            text = text.replace(value, "***")
        return text

    return clean


def _content(path: str) -> str:
    # Whoever needs the file says what is wrong with it.
    with suppress(OSError, UnicodeDecodeError, ValueError):
        return Path(path).read_text(encoding="utf-8").strip()
    return ""


class TextLines(logging.Formatter):
    """Writes lines for people."""

    def __init__(self, clean: Callable[[str], str]) -> None:
        super().__init__(FORMAT)
        self._clean = clean

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with its traceback where there is one."""
        return self._clean(super().format(record))
