"""The transport of a runner: one interface over Kafka and memory."""
