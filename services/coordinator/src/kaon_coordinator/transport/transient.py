"""Which errors of the Kafka client may pass by themselves."""

from __future__ import annotations

from aiokafka.errors import KafkaError, KafkaTimeoutError


def may_pass(error: KafkaError) -> bool:
    """Whether trying again may help: the broker is away or changing, and has not refused anything."""
    # The client does not count its own timeouts among the errors that may be retried.
    return bool(error.retriable) or isinstance(error, KafkaTimeoutError)
