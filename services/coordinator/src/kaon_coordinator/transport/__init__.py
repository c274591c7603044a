"""How a coordinator hears and tells: the same interface over Kafka (`faust`) and over memory (`memory`)."""
