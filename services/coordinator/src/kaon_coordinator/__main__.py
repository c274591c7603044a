"""`python -m kaon_coordinator`: one coordinator as a process of its own, over Kafka.

SIGTERM and SIGINT shut it down.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from functools import partial

from kaon_wire.loading import loading

with loading(without="rich"):
    import structlog
    import uvloop

    from kaon_coordinator.bootstrap import Application
    from kaon_coordinator.settings import Settings, settings_from
    from kaon_coordinator.shell.gc_tuning import collect_seldom
    from kaon_coordinator.transport.faust import FaustTransport
    from kaon_coordinator.transport.outside import OutsideTransport
    from kaon_coordinator.transport.run_events import follow_run_events
    from kaon_coordinator.transport.topic_reader import KafkaRecords
    from kaon_service.access.open_lines import warn_of_open_lines
    from kaon_service.serve import serve
    from kaon_telemetry.logs import configure_logs
    from kaon_telemetry.tracing import open_spans
    from kaon_wire.errors import KaonError

log = structlog.get_logger("kaon_coordinator")


def _application(settings: Settings) -> Application:
    spans = open_spans("kaon-coordinator", os.environ)
    kafka, security, catalogue = settings.kafka, settings.kafka_security, settings.catalogue
    kind = OutsideTransport if settings.api_only else FaustTransport
    transport = kind(kafka, catalogue=catalogue, security=security)
    follow = partial(follow_run_events, kafka, security, catalogue.run_partitions)
    records = KafkaRecords(kafka, security)
    return Application(settings, transport, spans, records, follow=follow)


def main() -> None:
    """Run the console. Exit codes: 0 shut down in order, 1 fatal error, 2 invalid settings."""
    parser = argparse.ArgumentParser(
        prog="kaon-coordinator",
        description="Accepts runs, decides what is next, and hands ready steps to runners. Every setting is an environment "
        "variable; kaon_coordinator/settings.py lists them.",
    )
    parser.parse_args()
    configure_logs()
    try:
        settings = settings_from(os.environ)
    except KaonError as error:
        print(f"kaon-coordinator: {error}", file=sys.stderr)
        sys.exit(2)
    warn_of_open_lines(settings.lines, closed_system=settings.calls.access.authenticates)
    try:
        # The policy, not just one loop: Faust's consumer creates a loop of its own in its thread.
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
        asyncio.run(serve(lambda: _application(settings), started=lambda _port: collect_seldom()))
    except KaonError as error:
        log.error("coordinator cannot go on; exiting", reason=str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
