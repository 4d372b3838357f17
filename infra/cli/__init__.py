"""The command line: `finagent`."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code; arguments: those of the process where none are given."""
    from infra.cli.app import run
    from infra.tuning import tune

    tune()
    run(arguments)
