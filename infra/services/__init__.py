"""Run real Apache Kafka and Redis on this machine without Docker."""

from infra.services.errors import ServiceError
from infra.services.kafka import BrokerProcess, KafkaService, kafka_status, start_kafka, stop_kafka
from infra.services.redis import RedisService, redis_status, start_redis, stop_redis
from infra.services.settings import kafka_login, kafka_settings, redis_login, redis_settings

__all__ = [
    "BrokerProcess",
    "KafkaService",
    "RedisService",
    "ServiceError",
    "kafka_login",
    "kafka_settings",
    "kafka_status",
    "redis_login",
    "redis_settings",
    "redis_status",
    "start_kafka",
    "start_redis",
    "stop_kafka",
    "stop_redis",
]
