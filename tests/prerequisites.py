"""Tell before the tests whether they can have a real Kafka."""

import os
import sys

from infra.services import ServiceError
from infra.services.jars import cached_jars, find_java
from tests.services import KAFKA_VARIABLE, docker_answers


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


if __name__ == "__main__":
    sys.exit(missing_kafka())
