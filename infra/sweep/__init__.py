"""Running a sweep: on this machine, or on many through Kafka."""
