"""Checkpoints: all that a training goes on from, written so that a crash leaves the last whole one."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rl.weights import Arrays, pack, sha256, unpack
from schemas.message import canonical_json
from streams.errors import ConfigError, InvalidData, MissingData

KIND = "finagent.checkpoint.v1"
SUFFIX = ".safetensors"
LATEST = "latest.json"
"""Names the newest checkpoint's file and its SHA-256; replaced in one step once the file is on disk."""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a training's folder, made where absent; raise ConfigError where another one is at work in it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"a training is at work in {folder}: wait for its end, or give this one a name") from None
        yield


def save(folder: Path, name: str, arrays: Arrays, metadata: Mapping[str, Any]) -> Path:
    """Write a checkpoint and make it the latest; the one before it goes."""
    folder.mkdir(parents=True, exist_ok=True)
    data = pack(KIND, arrays, metadata)
    path = folder / f"{name}{SUFFIX}"
    write(path, data)
    write(folder / LATEST, canonical_json({"file": path.name, "sha256": sha256(data)}).encode())
    for old in folder.glob(f"*{SUFFIX}"):
        if old != path:
            old.unlink()
    return path


def load(folder: Path) -> tuple[Arrays, dict[str, Any]]:
    """Return the latest checkpoint's arrays and metadata.

    Raises MissingData where there is none, InvalidData for one that was changed or that something else has written.
    """
    try:
        told = json.loads((folder / LATEST).read_text())
        name, digest = str(told["file"]), str(told["sha256"])
    except FileNotFoundError as error:
        raise MissingData(f"there is no checkpoint in {folder}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidData(f"{folder / LATEST}: {error}") from error
    if not name.endswith(SUFFIX) or Path(name).name != name or "\0" in name:
        raise InvalidData(f"{folder / LATEST} names {name!r}, which is not a file beside it")
    try:
        data = (folder / name).read_bytes()
    except FileNotFoundError as error:
        raise MissingData(f"{folder / LATEST} names {name}, which is not there") from error
    return unpack(KIND, data, digest)


def write(path: Path, data: bytes) -> None:
    """Write a file in one step: a crash leaves the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
