"""The transport of a coordinator: the same interface over Kafka (`faust`) and in memory (`memory`)."""
