"""Certificates, users and rights of a secure Kafka and Redis."""
