"""Find free TCP ports on the loopback address."""

import random
import socket
import time
from collections.abc import Iterator, Sequence

HOST = "127.0.0.1"
# Below the range that systems hand out to outgoing connections, which could take a port between our look and the bind.
_CANDIDATES = range(20_000, 32_000)


def is_free(port: int) -> bool:
    """Tell whether a server could bind the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do, so that connections that linger from the last run don't count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def become_free(ports: Sequence[int], timeout_s: float = 3.0) -> bool:
    """Tell whether all the ports are free, or become so soon, as those of a server that was just killed."""
    deadline = time.monotonic() + timeout_s
    while not (free := all(map(is_free, ports))) and time.monotonic() < deadline:
        time.sleep(0.02)
    return free


def free_ports() -> Iterator[int]:
    """Yield distinct free ports in random order, so that concurrent starts rarely meet."""
    return (port for port in random.sample(_CANDIDATES, len(_CANDIDATES)) if is_free(port))


def is_open(port: int, timeout_s: float = 1.0) -> bool:
    """Tell whether something accepts connections on the port."""
    try:
        with socket.create_connection((HOST, port), timeout_s):
            return True
    except OSError:
        return False
