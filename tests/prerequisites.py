"""See to it before the tests that they can have a real Kafka and a real browser."""

import os
import shutil
import subprocess
import sys

from playwright.sync_api import sync_playwright

from infra.services import ServiceError
from infra.services.jars import cached_jars, find_java
from tests.browser import WANTED, found_chromium
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
    packaged = ["sh", "-c", "apt-get update -q && apt-get install -y -q --no-install-recommends chromium"]
    own = [sys.executable, "-m", "playwright", "install", "chromium"]
    return [packaged, own] if os.geteuid() == 0 and shutil.which("apt-get") else [own]


def _succeeds(command: list[str]) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, timeout=INSTALL_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def main() -> str | int:
    """Return what to exit with: without Kafka, and under CI without a browser, the tests are not worth starting."""
    if (kafka := missing_kafka()) is not None:
        return kafka
    if (browser := missing_browser()) is not None:
        if os.environ.get("CI") == "true":
            return browser
        sys.stderr.write(f"{browser}. They are skipped.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
