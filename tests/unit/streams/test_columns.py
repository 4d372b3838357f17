"""The numpy codec against fastavro: the same bytes, the same values, and no third outcome."""

import io
from typing import Any

import fastavro
import numpy as np
import pytest

from schemas import BarBlock, TickBlock
from schemas.avro import fingerprint_of, schema_of
from schemas.market import Columns
from streams import columns
from streams.serde import Serde

KINDS: tuple[type[Columns], ...] = (TickBlock, BarBlock)
PARSED = {kind: fastavro.parse_schema(schema_of(kind)) for kind in KINDS}


def tick_block(rng: np.random.Generator, n: int) -> TickBlock:
    return TickBlock(
        instrument_id=str(rng.choice(["AAPL.XNAS", "KÖY.XETR", "B" * 59 + ".XNAS"])),
        source="s" * int(rng.integers(1, 200)),
        synthetic=bool(rng.integers(2)),
        base_ts=int(rng.integers(0, 2**62)),
        seq0=int(rng.integers(0, 2 ** int(rng.integers(1, 63)))),
        dt_ns=np.cumsum(rng.integers(0, 10**9, n)),
        price=rng.lognormal(3, 2, n),
        size=rng.integers(0, 1000, n),
        side=rng.integers(0, 3, n),
    )


def bar_block(rng: np.random.Generator, n: int) -> BarBlock:
    opened = np.cumsum(rng.integers(1, 10**12, n))
    low, up1, up2, up3 = rng.lognormal(3, 2, n), rng.random(n), rng.random(n), rng.random(n)
    return BarBlock(
        instrument_id="MSFT.XNAS",
        interval="1d",
        adjustment="split",
        source="sample",
        synthetic=bool(rng.integers(2)),
        base_ts=int(rng.integers(0, 2**60)),
        open_dt_ns=opened,
        dt_ns=opened + int(rng.integers(0, 10**6)),
        session_day=np.arange(n) + 15000,
        open=low + up1,
        high=low + np.maximum(up1, up2) + up3,
        low=low,
        close=low + up2,
        volume=rng.integers(0, 10**9, n),
    )


def blocks(seed: int, count: int) -> list[Columns]:
    rng = np.random.default_rng(seed)
    sizes = [1, 2, 63, 64, 65, 127, 128, 8192, *rng.integers(1, 300, count - 8)]
    return [make(rng, int(n)) for n in sizes for make in (tick_block, bar_block)]


def by_fastavro(kind: type[Columns], data: bytes) -> dict[str, Any] | None:
    """Return fastavro's reading of the bytes, None where it refuses them or leaves some over."""
    stream = io.BytesIO(data)
    try:
        record = fastavro.schemaless_reader(stream, PARSED[kind])
    except Exception:
        return None
    assert isinstance(record, dict)
    return record if stream.tell() == len(data) else None


def plain(record: dict[str, Any]) -> dict[str, Any]:
    """Return values that compare by bits, so that NaN equals itself."""
    return {
        name: np.asarray(value, "<f8").tobytes() if isinstance(value, (list, np.ndarray)) else value
        for name, value in record.items()
    }


@pytest.mark.parametrize("block", blocks(seed=1, count=40), ids=lambda block: f"{type(block).__name__}-{len(block)}")
def test_the_bytes_are_fastavros_both_ways(block: Columns) -> None:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, PARSED[type(block)], block.to_avro(), strict=True)
    assert columns.encode(block) == out.getvalue()
    decoded = columns.decode(type(block), out.getvalue())
    assert decoded is not None
    assert plain(decoded) == plain(block.to_avro())
    assert type(block).from_avro(decoded) == block


def test_decoding_can_start_after_a_frame() -> None:
    [block, *_] = blocks(seed=2, count=8)
    decoded = columns.decode(type(block), b"\xc3\x01framing." + columns.encode(block), 10)
    assert decoded is not None
    assert plain(decoded) == plain(block.to_avro())


def mutated(rng: np.random.Generator, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(0, len(changed))) if changed else 0
        what = rng.integers(0, 5)
        if what == 0 and changed:
            changed[at] = int(rng.integers(0, 256))
        elif what == 1 and changed:
            changed[at] ^= 1 << int(rng.integers(0, 8))
        elif what == 2:
            changed[at:at] = rng.bytes(int(rng.integers(1, 12)))
        elif what == 3:
            del changed[at : at + int(rng.integers(1, 12))]
        else:
            changed[at:at] = bytes((int(rng.choice([0x80, 0xFF])),)) * int(rng.integers(1, 12)) + bytes(
                (int(rng.integers(0, 128)),)
            )
    return bytes(changed)


@pytest.mark.parametrize("seed", range(4))
def test_no_broken_bytes_are_read_differently_than_by_fastavro(seed: int) -> None:
    rng = np.random.default_rng(seed)
    read = 0
    for _ in range(1000):
        block = (tick_block if rng.integers(2) else bar_block)(rng, int(rng.integers(1, 6)))
        data = mutated(rng, columns.encode(block))
        ours = columns.decode(type(block), data)
        if ours is None:
            continue
        theirs = by_fastavro(type(block), data)
        assert theirs is not None, data.hex()
        assert plain(ours) == plain(theirs), data.hex()
        read += 1
    assert read > 50


@pytest.mark.parametrize("last", [0, 1, 2, 3, 64, 126, 127])
def test_a_number_of_ten_bytes_is_read_as_fastavro_reads_it(last: int) -> None:
    """Only its lowest bit still belongs to a 64-bit number."""
    [block, *_] = blocks(seed=3, count=8)
    assert isinstance(block, TickBlock)
    head = columns.encode(block).split(columns._long(block.base_ts))[0]
    tail = columns.encode(block)[len(head) + len(columns._long(block.base_ts)) :]
    data = head + b"\xff" * 9 + bytes((last,)) + tail
    ours = columns.decode(TickBlock, data)
    assert ours is None or plain(ours) == plain(by_fastavro(TickBlock, data) or {})


def zigzag(value: int) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, "long", value)
    return out.getvalue()


def array(items: list[bytes], sizes: list[int], *, sized: bool) -> bytes:
    """Write an Avro array in blocks of the given sizes; sized: with negative counts and byte sizes."""
    out, at = b"", 0
    for size in sizes:
        body = b"".join(items[at : at + size])
        out += zigzag(-size) + zigzag(len(body)) + body if sized else zigzag(size) + body
        at += size
    return out + b"\0"


@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("sizes", [[5], [2, 3], [1, 1, 1, 1, 1]])
def test_other_legal_layouts_are_left_to_fastavro(sized: bool, sizes: list[int]) -> None:
    block = tick_block(np.random.default_rng(4), 5)
    whole = columns.encode(block)
    head = whole[: len(whole) - 3 * (1 + 40 + 1) - (1 + 5 + 1)]
    doubles = [column.astype("<f8") for column in (block.dt_ns, block.price, block.size)]
    data = head
    for column in doubles:
        data += array([value.tobytes() for value in column], sizes, sized=sized)
    data += array([zigzag(int(value)) for value in block.side], sizes, sized=sized)
    if sized or sizes != [5]:
        assert columns.decode(TickBlock, data) is None
    frame = b"\xc3\x01" + fingerprint_of(schema_of(TickBlock)).to_bytes(8, "little")
    assert Serde().decode(frame + data) == block
