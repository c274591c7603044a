from __future__ import annotations

from confluent_kafka import KafkaError
from structlog.testing import capture_logs

from kaon_service.kafka_producer import Reminder


def test_a_broker_that_stays_away_is_logged_once_a_minute() -> None:
    now = [0.0]
    note = Reminder(clock=lambda: now[0])
    with capture_logs() as told:
        for _ in range(130):
            note(KafkaError(KafkaError._TRANSPORT))
            note(KafkaError(KafkaError._ALL_BROKERS_DOWN))
            now[0] += 1
    assert len(told) == 6
    assert {line["event"] for line in told} == {"Kafka connection"}
