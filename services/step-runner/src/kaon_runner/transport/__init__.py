"""How records reach a runner and leave it: one interface, Kafka and memory behind it."""
