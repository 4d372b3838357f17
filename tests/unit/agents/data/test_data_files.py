import sys
from pathlib import Path

import pandas as pd
import pytest

from agents.data.reference import Reference
from agents.data.sources import CsvProvider, ParquetProvider, SampleProvider, open_providers
from streams.errors import ConfigError, InvalidData

CSV = """symbol,date,open,high,low,close,volume
NA,2012-01-03,10,12,9,11,100
NA,2012-01-04,11,13,10,0.1234567890123456789,0
"""


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    path = tmp_path / "prices.csv"
    path.write_text(CSV.replace("10,0.12", "0.1,0.12"))
    return path


def test_a_csv_file_is_served_as_it_is(prices: Path) -> None:
    provider = CsvProvider(prices)
    (block,) = provider.bars("NA", "1d", None, None)
    assert block.source == provider.name == "csv:prices.csv"
    assert block.close.tolist() == [11.0, 0.1234567890123456789]


def test_csv_gz_and_parquet_hold_the_same(prices: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(prices, keep_default_na=False)
    frame.to_csv(tmp_path / "prices.csv.gz", index=False)
    (expected,) = CsvProvider(prices).bars("NA", "1d", None, None)
    (zipped,) = CsvProvider(tmp_path / "prices.csv.gz").bars("NA", "1d", None, None)
    assert zipped.dt_ns.tolist() == expected.dt_ns.tolist()
    pytest.importorskip("pyarrow")
    frame.to_parquet(tmp_path / "prices.parquet")
    (columnar,) = ParquetProvider(tmp_path / "prices.parquet").bars("NA", "1d", None, None)
    assert columnar.source == "parquet:prices.parquet"
    assert columnar.open.tolist() == expected.open.tolist()


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "prices.parquet"
    path.write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"finagent-orchestration\[data\]"):
        ParquetProvider(path)


def test_providers_open_in_order(prices: Path) -> None:
    first, second = open_providers([str(prices), "sample"], Reference(venue="XNYS"))
    assert [first.name, second.name] == ["csv:prices.csv", "sample:bokeh-sampledata"]
    assert first.instruments()["NA"].instrument_id == "NA.XNYS"
    assert isinstance(second, SampleProvider)


def test_a_file_without_symbols_gets_one_by_name(prices: Path, tmp_path: Path) -> None:
    path = tmp_path / "bare=.csv"
    pd.read_csv(prices).drop(columns="symbol").to_csv(path, index=False)
    (provider,) = open_providers([f"BTC/USDT={path}"])
    assert list(provider.instruments()) == ["BTC/USDT"]
    with pytest.raises(ConfigError, match="no symbol column"):
        open_providers([str(path)])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "No data provider is configured"),
        (["yahoo"], "Unknown data provider 'yahoo', expected sample or a path"),
        (["gone.csv"], "No file 'gone.csv'"),
    ],
)
def test_wrong_names_are_refused(names: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_providers(names)


@pytest.mark.parametrize("name", ["broken.csv.gz", "broken.parquet"])
def test_a_file_that_is_no_table_is_refused(name: str, tmp_path: Path) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_bytes(b"not a table")
    with pytest.raises(InvalidData, match=f"{name} is not a readable table"):
        open_providers([str(tmp_path / name)])
