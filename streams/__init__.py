"""How it travels: topics, envelope, serde, brokers, stores and the one task loop."""
