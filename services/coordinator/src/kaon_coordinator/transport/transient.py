"""Classifies errors of the Kafka client: those that may pass by themselves."""

from __future__ import annotations

from aiokafka.errors import KafkaError, KafkaTimeoutError


def may_pass(error: KafkaError) -> bool:
    """Tell whether a retry may help: the broker is away or changing, and has not refused anything."""
    # The client does not count its own time-outs among the retriable errors.
    return bool(error.retriable) or isinstance(error, KafkaTimeoutError)
