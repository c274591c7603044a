"""`python -m kaon_runner`: one runner as a process of its own, over Kafka. SIGTERM and SIGINT drain it."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import sys
from collections.abc import Sequence

from kaon_wire.loading import loading

with loading(without="rich"):
    import structlog

    from kaon_runner.bootstrap import RunnerService, build_runner
    from kaon_runner.errors import InvalidSettings
    from kaon_runner.health import HealthServer
    from kaon_runner.settings import Settings
    from kaon_runner.telemetry import RunnerTelemetry
    from kaon_runner.transport.command_gate import CommandGate
    from kaon_runner.transport.kafka import KafkaTransport
    from kaon_service.access.open_lines import warn_of_open_lines
    from kaon_service.command_signatures import CommandVerifier
    from kaon_service.heartbeat_signatures import HeartbeatSigner
    from kaon_service.kafka_security import KafkaSecurity
    from kaon_telemetry.endpoint import MetricsServer, metrics_token
    from kaon_telemetry.logs import configure_logs
    from kaon_telemetry.metrics import RunnerMetrics
    from kaon_telemetry.tracing import open_spans
    from kaon_wire.errors import InvalidValue, KaonError

log = structlog.get_logger(__name__)


def parse(arguments: Sequence[str]) -> Settings:
    """Read settings from the environment and the command line, which wins.

    Raises:
        InvalidSettings: A setting is missing or malformed.
    """
    parser = argparse.ArgumentParser(
        prog="kaon-runner",
        description="Runs the steps of one pool. Every setting is a variable KAON_<NAME>; see kaon_runner/settings.py.",
    )
    parser.add_argument("--kafka", help="bootstrap servers, host:port,host:port (KAON_KAFKA)")
    parser.add_argument("--pool", help="pool whose steps it takes (KAON_POOL)")
    parser.add_argument("--runner-id", help="stable name of this runner (KAON_RUNNER_ID)")
    parser.add_argument("--slots", type=int, help="slots of steps that run at once (KAON_SLOTS)")
    parser.add_argument("--artifacts", help="base URL of the artifact store (KAON_ARTIFACTS)")
    parser.add_argument(
        "--health", type=int, help="port of the health check on 127.0.0.1 (KAON_HEALTH)"
    )
    settings = Settings.from_env(os.environ, **vars(parser.parse_args(arguments)))
    if not settings.kafka:
        raise InvalidSettings(
            "KAON_KAFKA is not set: give the bootstrap servers, such as KAON_KAFKA=127.0.0.1:9092"
        )
    if not settings.artifacts:
        raise InvalidSettings(
            "KAON_ARTIFACTS is not set: give the artifact store's URL, such as file:///var/lib/kaon/artifacts"
        )
    return settings


async def serve(service: RunnerService) -> None:
    """Run until a signal requests the shutdown."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, service.request_stop)
    await service.run()


def collect_seldom() -> None:
    """Collect less often: the program's own objects are never scanned again, since steps leave no cycles behind."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def main() -> None:
    """Run the runner. Exit codes: 0 left in order, 1 fatal error, 2 invalid settings."""
    configure_logs(os.environ.get("KAON_LOG_LEVEL", "info"))
    try:
        settings = parse(sys.argv[1:])
        verifier = CommandVerifier.read(os.environ, pool=settings.pool)
        signer = HeartbeatSigner.read(os.environ, pool=settings.pool)
        security = KafkaSecurity.read(os.environ)
        token = metrics_token(os.environ)
    except (InvalidSettings, InvalidValue) as error:
        print(f"kaon-runner: {error}", file=sys.stderr)
        sys.exit(2)
    lines = {"KAON_COMMAND_PUBLIC_KEYS": verifier is not None}
    if settings.hive or settings.spark_connect:
        lines["KAON_ENGINES_TOKENS"] = settings.engines_tokens is not None
    warn_of_open_lines(lines, closed_system=security.is_closed)

    spans = open_spans("kaon-runner", os.environ)
    metrics = RunnerMetrics()
    telemetry = RunnerTelemetry(settings.runner_id, metrics, spans)
    gate = CommandGate(verifier, metrics.dropped_commands.inc)
    transport = KafkaTransport(settings.kafka, pool=settings.pool, gate=gate, security=security)
    service = build_runner(settings, transport, telemetry=telemetry, signer=signer)
    about = {
        "runner_id": settings.runner_id,
        "incarnation": service.incarnation,
        "pool": settings.pool,
    }
    health = (
        HealthServer(settings.health, ready=lambda: service.ready, about=about)
        if settings.health
        else None
    )
    endpoint: MetricsServer | None = None
    try:
        endpoint = MetricsServer(settings.metrics, token=token) if settings.metrics else None
        collect_seldom()
        # Not uvloop: under load it misses a socket that reuses a descriptor, and the end of a supervisor goes
        # unnoticed.
        asyncio.run(serve(service))
    except KaonError as error:
        log.error("runner cannot go on; exiting", reason=str(error))
        sys.exit(1)
    finally:
        spans.close()
        if endpoint is not None:
            endpoint.close()
        if health is not None:
            health.close()


if __name__ == "__main__":
    main()
