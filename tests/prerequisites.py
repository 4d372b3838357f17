"""See to it before the tests that they can have a real Kafka, a real schema registry and a real browser."""

import os
import shutil
import subprocess
import sys

from playwright.sync_api import sync_playwright

from infra.services import ServiceError
from infra.services.jars import cached_jars, find_java
from infra.services.redis import find_server
from tests.browser import WANTED, found_chromium
from tests.registry import registry_home
from tests.services import KAFKA_VARIABLE, docker_answers

INSTALL_TIMEOUT_S = 600


def missing_kafka() -> str | None:
    """Say in one line why the tests can have no Kafka and what to do; None where they can."""
    if os.environ.get(KAFKA_VARIABLE) or docker_answers():
        return None
    try:
        find_java()
        cached_jars()
    except ServiceError as error:
        return f"The tests need Kafka. {error}. Or start a Docker engine, or set {KAFKA_VARIABLE} to a broker's address"
    return None


def missing_tls_redis() -> str | None:
    """Say in one line that there is no Redis server with TLS, after trying to install one; None where there is."""
    try:
        find_server(with_tls=True)
    except ServiceError as error:
        if os.geteuid() == 0 and shutil.which("apt-get"):
            sys.stderr.write("Installing a Redis server with TLS for the tests ...\n")
            if _succeeds(_apt("redis-server")) and shutil.which("redis-server"):
                return None
        return f"The tests of a secure Redis need one with TLS: {error}"
    return None


def missing_registry() -> str | None:
    """Say in one line why the tests can have no schema registry and what to do; None where they can."""
    try:
        find_java()
        registry_home()
    except ServiceError as error:
        return f"The tests need a schema registry. {error}"
    return None


def missing_browser() -> str | None:
    """Say in one line that there is no Chromium, after trying to install one; None where there is."""
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    if found_chromium(own):
        return None
    sys.stderr.write("Installing Chromium for the tests in a browser ...\n")
    if not any(_succeeds(command) and found_chromium(own) for command in _installations()):
        return f"The tests of pages need a browser: {WANTED}"
    return None


def _installations() -> list[list[str]]:
    packaged = _apt("chromium")
    own = [sys.executable, "-m", "playwright", "install", "chromium"]
    return [packaged, own] if os.geteuid() == 0 and shutil.which("apt-get") else [own]


def _apt(package: str) -> list[str]:
    return ["sh", "-c", f"apt-get update -q && apt-get install -y -q --no-install-recommends {package}"]


def _succeeds(command: list[str]) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, timeout=INSTALL_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def main() -> str | int:
    """Return what to exit with: without Kafka, and under CI without a browser, the tests are not worth starting."""
    if (service := missing_kafka() or missing_registry()) is not None:
        return service
    if (redis := missing_tls_redis()) is not None:
        sys.stderr.write(f"{redis}. They fail.\n")
    if (browser := missing_browser()) is not None:
        if os.environ.get("CI") == "true":
            return browser
        sys.stderr.write(f"{browser}. They are skipped.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
