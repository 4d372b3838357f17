"""`python -m infra.cli` is `finagent`."""

from infra.cli import main

main()
