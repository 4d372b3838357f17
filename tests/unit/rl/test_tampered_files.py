"""Files of policies and checkpoints that somebody changed or brought in: refused, and nothing in them is executed."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save

from rl import checkpoint
from rl.checkpoint import KIND as CHECKPOINT
from rl.checkpoint import LATEST
from rl.policy import KIND as POLICY
from rl.policy import Policy
from rl.rules import TradingRules
from rl.serving import ServedPolicy
from rl.weights import Arrays, pack, sha256, unpack
from streams.errors import InvalidData, MissingData
from tests.policies import bars, market_of, metadata, random_policy


class Mark:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self._path,))


@pytest.fixture(scope="module")
def good() -> bytes:
    seen, rules = market_of(bars()), TradingRules()
    return random_policy(seen, rules, 1, hidden=(8,)).pack(metadata(seen, rules))


def test_a_pickle_would_leave_its_mark(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Mark(tmp_path / "mark")))
    assert (tmp_path / "mark").exists()


def foreign(tmp_path: Path) -> dict[str, bytes]:
    mark = Mark(tmp_path / "mark")
    torch.save({"weight.0": torch.ones(2, 2), "mark": mark}, tmp_path / "weights.pt")
    np.savez(tmp_path / "weights.npz", mark=np.array([mark], dtype=object), allow_pickle=True)
    return {
        "pickle": pickle.dumps(mark),
        "torch": (tmp_path / "weights.pt").read_bytes(),
        "npz": (tmp_path / "weights.npz").read_bytes(),
        "pickle behind a length": len(pickle.dumps(mark)).to_bytes(8, "little") + pickle.dumps(mark),
        "empty": b"",
        "header longer than the file": (2**62).to_bytes(8, "little") + b"{}",
        "huge header": (10**9).to_bytes(8, "little") + b"{" * 1000,
        "safetensors of another program": save({"weight.0": np.ones((2, 2), np.float32)}),
        "deep metadata": save(
            {"low": np.ones(2, np.float32)}, {"finagent.format": POLICY, "finagent.metadata": "[" * 200_000}
        ),
        "checkpoint": pack(CHECKPOINT, {"low": np.ones(2, np.float32)}, {}),
    }


KINDS = [
    "pickle",
    "torch",
    "npz",
    "pickle behind a length",
    "empty",
    "header longer than the file",
    "huge header",
    "safetensors of another program",
    "deep metadata",
    "checkpoint",
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_foreign_file_is_no_policy(kind: str, tmp_path: Path) -> None:
    data = foreign(tmp_path)[kind]
    for read in (Policy.unpack, ServedPolicy.read):
        with pytest.raises(InvalidData):
            read(data)
        with pytest.raises(InvalidData):
            read(data, sha256(data))
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("kind", [*KINDS[:-1], "policy"])
def test_a_foreign_file_is_no_checkpoint(kind: str, tmp_path: Path, good: bytes) -> None:
    data = good if kind == "policy" else foreign(tmp_path)[kind]
    (tmp_path / "step-1.safetensors").write_bytes(data)
    (tmp_path / LATEST).write_text(json.dumps({"file": "step-1.safetensors", "sha256": sha256(data)}))
    with pytest.raises(InvalidData):
        checkpoint.load(tmp_path)
    assert not (tmp_path / "mark").exists()


def test_every_changed_byte_is_noticed(good: bytes) -> None:
    digest = sha256(good)
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(good), 50):
        changed = bytearray(good)
        changed[place] ^= 1 << int(rng.integers(8))
        with pytest.raises(InvalidData, match="it was changed after it was written"):
            Policy.unpack(bytes(changed), digest)
    assert Policy.unpack(good, digest)[0].action_size == 3


def changed(good: bytes, change: Callable[[Arrays, dict[str, Any]], None]) -> bytes:
    arrays, told = unpack(POLICY, good, sha256(good))
    change(arrays, told)
    return pack(POLICY, arrays, told)


def setting(name: str, value: Any) -> Callable[[Arrays, dict[str, Any]], None]:
    return lambda arrays, told: told.__setitem__(name, value)


def holding(name: str, array: Any) -> Callable[[Arrays, dict[str, Any]], None]:
    return lambda arrays, told: arrays.__setitem__(name, array)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (holding("weight.0", np.ones((3, 8), np.float32)), r"the policy takes and gives \(3, 3\) numbers"),
        (holding("weight.1", np.ones((9, 3), np.float32)), r"layers .* do not give 3 outputs"),
        (holding("bias.0", np.ones(5, np.float32)), r"layers .* do not give 3 outputs"),
        (holding("bias.1", np.full(3, np.nan, np.float32)), "bias.1 is not of finite float32 numbers"),
        (holding("bias.1", np.full(3, np.inf, np.float32)), "bias.1 is not of finite float32 numbers"),
        (holding("bias.1", np.zeros(3)), "bias.1 is not of finite float32 numbers"),
        (holding("low", np.ones(3, np.float32)), "bounds, log_std, mean or std do not fit"),
        (holding("high", np.ones(2, np.float32)), "bounds, log_std, mean or std do not fit"),
        (holding("mean", np.zeros(4, np.float32)), "bounds, log_std, mean or std do not fit"),
        (setting("head", "gaussian"), "bounds, log_std, mean or std do not fit"),
        (setting("head", "__import__('os')"), "unknown head"),
        (setting("activation", "sin"), "activation 'sin'"),
        (setting("layers", 10**12), "weight.2"),
        (setting("layers", 0), "finagent.policy"),
        (setting("layers", "2"), "interpreted as an integer"),
        (setting("algorithm", "os.system"), "os.system"),
        (setting("noise", "loud"), "finagent.policy"),
        (setting("metadata", None), "finagent.policy"),
        (setting("metadata", {"serving": {"instruments": []}}), "serving.instruments"),
    ],
)
def test_a_policy_that_does_not_fit_itself_is_refused(
    good: bytes, change: Callable[[Arrays, dict[str, Any]], None], why: str
) -> None:
    with pytest.raises(InvalidData, match=why):
        ServedPolicy.read(changed(good, change))


@pytest.mark.parametrize(
    "name",
    ["../outside.safetensors", "/etc/hostname", "sub/../../outside.safetensors", "", ".", "..", "a\0.safetensors"],
)
def test_a_checkpoint_lies_in_its_own_folder(name: str, tmp_path: Path) -> None:
    data = pack(CHECKPOINT, {"a": np.ones(2, np.float32)}, {})
    (tmp_path / "outside.safetensors").write_bytes(data)
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / LATEST).write_text(json.dumps({"file": name, "sha256": sha256(data)}))
    with pytest.raises((InvalidData, MissingData)):
        checkpoint.load(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"file": 1}', "[" * 100_000, "\x80"])
def test_a_latest_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / LATEST).write_text(text, encoding="latin-1")
    with pytest.raises(InvalidData):
        checkpoint.load(tmp_path)
