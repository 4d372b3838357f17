"""Exit codes, and how a failed command says why: one line, a traceback only with --debug."""

from __future__ import annotations

import sys
import traceback
from dataclasses import dataclass

import typer

from streams.errors import FinAgentError

OK = 0
FAILED = 1
USAGE = 2
TASK_FAILED = 3
INTERRUPTED = 130


@dataclass
class Session:
    """What holds for the whole call."""

    debug: bool = False
    """Whether --debug was given."""


session = Session()


def report(error: BaseException) -> None:
    """Say on stderr what failed."""
    if session.debug:
        traceback.print_exception(error)
    sys.stderr.write(f"error: {_line(error)}\n")


def task_failed(error: BaseException) -> typer.Exit:
    """Report why a task ended for good; raise what this returns."""
    report(error)
    return typer.Exit(TASK_FAILED)


def _line(error: BaseException) -> str:
    if isinstance(error, FinAgentError):
        return str(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return f"unexpected {type(error).__name__}: {error} (run with --debug for the traceback, and please report it)"
