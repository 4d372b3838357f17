"""Find Java, and fetch Kafka's jars once with Maven."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from infra.services.errors import ServiceError

JAVA_MAJOR = 17
"""The oldest Java that Kafka 4 brokers run on."""
DOWNLOAD_TIMEOUT_S = 900.0
_POM = Path(__file__).with_name("pom.xml")


def kafka_version() -> str:
    """Read Kafka's version from the pom, the one place that states it."""
    version = ElementTree.parse(_POM).findtext(".//{*}kafka.version")
    if version is None:
        raise ServiceError(f"{_POM} states no kafka.version")
    return version


def find_java() -> str:
    """Return the path of a java that Kafka runs on, from JAVA_HOME or PATH."""
    wanted = f"Kafka needs Java {JAVA_MAJOR} or newer: install it (Debian: apt-get install openjdk-17-jre-headless)"
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if java is None:
        raise ServiceError(f"{wanted}; found none {f'in JAVA_HOME={home}' if home else 'on PATH'}")
    said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False).stderr
    found = re.search(r'version "(\d+)', said)
    if found is None or int(found[1]) < JAVA_MAJOR:
        raise ServiceError(f"{wanted}; {java} is {said.strip().splitlines()[0] if said.strip() else 'silent'}")
    return java


def cached_jars() -> Path:
    """Return the folder with Kafka's jars below FINAGENT_CACHE or ~/.cache/finagent, filled on the first call."""
    cache = Path(os.environ.get("FINAGENT_CACHE") or Path.home() / ".cache" / "finagent")
    jars = cache / f"kafka-{kafka_version()}"
    if not jars.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        _fill(jars)
    return jars


def _fill(jars: Path) -> None:
    with tempfile.TemporaryDirectory(dir=jars.parent, prefix=f"{jars.name}.") as temporary:
        fresh = Path(temporary) / "jars"
        _download(fresh)
        try:
            fresh.rename(jars)
        except OSError:
            # Another start was first: its jars are the same.
            if not jars.is_dir():
                raise


def _download(folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise ServiceError(
            f"Maven is needed once to fetch Kafka {kafka_version()}: install it (Debian: apt-get install maven); "
            "found no mvn on PATH"
        )
    command = [maven, "-q", "-B", "-C", "-f", str(_POM), "dependency:copy-dependencies", f"-DoutputDirectory={folder}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise ServiceError(f"Maven did not fetch Kafka within {DOWNLOAD_TIMEOUT_S:.0f} s: check the network") from error
    if done.returncode != 0:
        why = next((line for line in done.stdout.splitlines() if "[ERROR]" in line), done.stderr.strip()[-300:])
        raise ServiceError(
            f"Maven could not fetch Kafka {kafka_version()}: check the network or Maven's settings; {why}"
        )
