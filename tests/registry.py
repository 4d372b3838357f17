"""Give tests a real schema registry: Apicurio from its Maven artifact, which keeps its schemas on the tests' Kafka.

Versions above 3.0 need Java 21; this one runs on the Java 17 that Kafka needs.
"""

import os
import shutil
import subprocess
import tarfile
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from infra.services import ServiceError
from infra.services.jars import find_java
from infra.services.ports import HOST, free_ports
from infra.services.processes import tail, wait_until

VERSION = "3.0.9"
ARTIFACT = f"io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"
DOWNLOAD_TIMEOUT_S = 900
START_TIMEOUT_S = 90.0
_END_WITH_PARENT = '"$@" & read -r _; kill $!; wait $!'
"""The pipe closes with this process whatever ends it, even SIGKILL: only then does the shell read on."""


@dataclass
class RegistryServer:
    """A registry on this machine, which can be ended and started again on what it has kept."""

    folder: Path
    bootstrap: str
    topic: str
    """Before the names of its topics on Kafka."""
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Return the base of its Confluent-compatible API."""
        return f"http://{HOST}:{self.port}/apis/ccompat/v7"

    def start(self) -> None:
        """Start it, and return once it answers."""
        home = registry_home()
        jar = next(home.glob("*-runner.jar"))
        environment = {
            "APICURIO_STORAGE_KIND": "kafkasql",
            "APICURIO_KAFKASQL_BOOTSTRAP_SERVERS": self.bootstrap,
            "APICURIO_KAFKASQL_TOPIC": f"{self.topic}journal",
            "APICURIO_KAFKASQL_SNAPSHOTS_TOPIC": f"{self.topic}snapshots",
            "APICURIO_EVENTS_KAFKA_TOPIC": f"{self.topic}events",
            "QUARKUS_HTTP_HOST": HOST,
            "QUARKUS_HTTP_PORT": str(self.port),
        }
        small = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        command = ["/bin/sh", "-c", _END_WITH_PARENT, "sh", find_java(), *small, "-jar", str(jar)]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, env={**os.environ, **environment}
            )
        wait_until(self._answers, START_TIMEOUT_S, f"the registry did not answer, see {self._log},")

    def end(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.communicate()
            self.process = None

    @property
    def _log(self) -> Path:
        return self.folder / "registry.log"

    def _answers(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            raise ServiceError(f"the registry died at its start: {tail(self._log)}")
        try:
            return httpx.get(f"{self.url}/subjects", timeout=2).is_success
        except httpx.HTTPError:
            return False


@pytest.fixture(scope="session")
def schema_registry(kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the URL of a real schema registry, shared by the session's tests: they keep apart by their prefixes."""
    with registry_server(kafka_bootstrap, tmp_path_factory.mktemp("registry")) as server:
        yield server.url


@contextmanager
def registry_server(bootstrap: str, folder: Path) -> Iterator[RegistryServer]:
    """Run a registry of its own for the length of the block."""
    server = RegistryServer(folder, bootstrap, f"test-{uuid.uuid4().hex[:12]}.registry-", next(free_ports()))
    try:
        server.start()
        yield server
    except ServiceError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    finally:
        server.end()


def registry_home() -> Path:
    """Return the folder with the registry's jars below FINAGENT_CACHE or ~/.cache/finagent, filled once."""
    cache = Path(os.environ.get("FINAGENT_CACHE") or Path.home() / ".cache" / "finagent")
    home = cache / f"apicurio-registry-{VERSION}"
    if not home.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=f"{home.name}.") as temporary:
            fresh = Path(temporary) / "home"
            _download(Path(temporary), fresh)
            try:
                fresh.rename(home)
            except OSError:
                # Another start was first: its jars are the same.
                if not home.is_dir():
                    raise
    return home


def _download(folder: Path, home: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise ServiceError("Maven is needed once to fetch the registry: install it (Debian: apt-get install maven)")
    command = [maven, "-q", "-B", "dependency:copy", f"-Dartifact={ARTIFACT}", f"-DoutputDirectory={folder}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, check=False)
    if done.returncode != 0:
        raise ServiceError(f"Maven could not fetch {ARTIFACT}: {done.stdout[-300:]}")
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        archive.extractall(home, filter="data")
