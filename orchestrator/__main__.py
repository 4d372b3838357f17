"""`python -m orchestrator --mode development` is `finagent orchestrator --mode development`."""

from __future__ import annotations

import sys


def _main() -> None:
    from infra.cli import main

    main(["orchestrator", *sys.argv[1:]])


if __name__ == "__main__":
    _main()
