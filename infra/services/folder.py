"""Keep a service's state in its folder, one process at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from infra.services.errors import ServiceError

STATE = "state.json"
_State = TypeVar("_State", bound=BaseModel)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder, made where absent, against other processes that start or stop the same service."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def load(folder: Path, model: type[_State]) -> _State | None:
    """Read the folder's state, None where no service was ever started in it."""
    path = folder / STATE
    try:
        return model.model_validate_json(path.read_text())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise ServiceError(f"{path} is no readable {model.__name__}: end its processes and remove {folder}") from error


def save(folder: Path, state: BaseModel) -> None:
    """Replace the folder's state at once, so that a reader never sees half of it."""
    fresh = folder / f"{STATE}.new"
    fresh.write_text(state.model_dump_json(indent=2) + "\n")
    os.replace(fresh, folder / STATE)
