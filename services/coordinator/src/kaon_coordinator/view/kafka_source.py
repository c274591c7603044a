"""The view's source where a broker is. Apart from the others: only who has a broker loads its client."""

from __future__ import annotations

from functools import partial

from kaon_coordinator.transport.run_events import follow_run_events
from kaon_coordinator.view.sources import Ear, Source
from kaon_service.kafka_security import KafkaSecurity
from kaonapi.run.v1 import history_pb2


def kafka_source(brokers: str, security: KafkaSecurity, partitions: int) -> Source:
    """Topic run-events."""
    return lambda ear: follow_run_events(brokers, security, partitions, partial(_tell, ear))


def _tell(ear: Ear, record: history_pb2.RunEvents) -> None:
    ear.happened(record.events)
    for each in record.progress:
        ear.progress(each.run_id, each.step)
