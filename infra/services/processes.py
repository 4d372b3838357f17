"""Start, recognise and stop programs that outlive this process."""

import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from infra.services.errors import ServiceError

# The shell forks and leaves, so the program is nobody's child here: no zombie, and our stdout is not held open.
_DETACH = 'exec "$@" >>"$0" 2>&1 </dev/null & echo $!'


def spawn(command: Sequence[str], folder: Path, log: Path) -> int:
    """Start the program in the folder, in a session of its own, its output appended to the log; return its pid."""
    shell = subprocess.run(
        ["/bin/sh", "-c", _DETACH, str(log), *command],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
        check=True,
        timeout=10,
    )
    return int(shell.stdout)


def is_running(pid: int, folder: Path, word: str) -> bool:
    """Tell whether the pid is alive and ours: at work in the folder, the word in its command line."""
    try:
        process = psutil.Process(pid)
        alive = process.status() != psutil.STATUS_ZOMBIE
        # A pid is used again by other programs: the number alone proves nothing. A server that is just writing its
        # title has an empty command line for a moment.
        line = " ".join(process.cmdline())
        return alive and Path(process.cwd()) == folder and (not line or word in line)
    except psutil.Error:
        return False


def stop(pids: Iterable[int], grace_s: float) -> None:
    """Ask the processes to end, and kill those that have not after the grace time."""
    processes = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    kill(process.pid for process in _still_alive(processes, grace_s))


def kill(pids: Iterable[int]) -> None:
    """Kill the processes, as kill -9 does, and return once they have ended."""
    processes = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    _still_alive(processes, timeout_s=5)


def _still_alive(processes: list[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    deadline = time.monotonic() + timeout_s
    while (alive := [process for process in processes if not _ended(process)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return alive


def _ended(process: psutil.Process) -> bool:
    # A zombie has ended too: in a container nobody may ever reap it.
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def tail(log: Path, lines: int = 4) -> str:
    """Return the last lines of a log on one line, without the frames of stack traces."""
    if not log.exists():
        return "(no output)"
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 20_000))
        text = file.read().decode(errors="replace")
    telling = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("\tat ")]
    return " | ".join(telling[-lines:]) or "(no output)"


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Return as soon as the condition holds, and fail naming what was awaited once the time is over."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise ServiceError(f"{what} within {timeout_s:.0f} s")
        time.sleep(0.05)
