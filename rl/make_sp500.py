"""Make sp500.csv.gz from the PyPI package skfolio: python -m rl.make_sp500.

The package (BSD-3-Clause) carries daily closes of 20 shares of the S&P 500, adjusted for splits and dividends.
"""

from __future__ import annotations

import gzip
from importlib import metadata
from pathlib import Path

from streams.errors import ConfigError

PACKAGE_VERSION = "1.12.2"
TARGET = Path(__file__).with_name("sp500.csv.gz")


def sp500_csv() -> str:
    """Return the sample as CSV, a row for each session, a column for each symbol; values as in the package."""
    found = metadata.version("skfolio")
    if found != PACKAGE_VERSION:
        raise ConfigError(f"skfolio is {found}, expected {PACKAGE_VERSION}")
    # Its file, since importing the package takes seconds.
    path = Path(str(metadata.distribution("skfolio").locate_file("skfolio/datasets/data/sp500_dataset.csv.gz")))
    rows = gzip.decompress(path.read_bytes()).decode().splitlines()
    return "\n".join(["date" + rows[0].removeprefix("Date"), *rows[1:], ""])


def main() -> None:
    """Write the sample; the same bytes each time (no name and no time in the gzip header)."""
    TARGET.write_bytes(gzip.compress(sp500_csv().encode(), compresslevel=9, mtime=0))


if __name__ == "__main__":
    main()
