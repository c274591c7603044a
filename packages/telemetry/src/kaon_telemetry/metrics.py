"""Every metric of every service.

Times are seconds. No label has a value per run or step: their number stays small.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# Metrics belong to a process; tests make registries of their own.
REGISTRY = CollectorRegistry()

_SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LONG = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3_600, 14_400, 86_400)


class CoordinatorMetrics:
    """Metrics of a coordinator, about the runs and steps whose partitions it owns."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.runs_ended = Counter(
            "kaon_runs_ended", "Runs that have ended, by status", ["status"], registry=registry
        )
        self.steps_ended = Counter(
            "kaon_steps_ended", "Steps that have ended, by status", ["status"], registry=registry
        )
        self.events = Counter(
            "kaon_events", "History events that were committed", registry=registry
        )
        self.run_seconds = Histogram(
            "kaon_run_seconds", "From a run's start to its end", registry=registry, buckets=_LONG
        )
        self.queue_seconds = Histogram(
            "kaon_step_queue_seconds",
            "From a step's becoming ready to its start at a runner",
            registry=registry,
            buckets=_SHORT,
        )
        self.step_seconds = Histogram(
            "kaon_step_seconds",
            "From an attempt's start to its end",
            registry=registry,
            buckets=_LONG,
        )
        self.retries = Counter(
            "kaon_step_retries", "Attempts that failed and were retried", registry=registry
        )
        self.lost_leases = Counter(
            "kaon_leases_lost",
            "Leases that ended without a result, by reason",
            ["reason"],
            registry=registry,
        )
        self.notifications = Counter(
            "kaon_notifications",
            "Deliveries of notifications, by channel and outcome (sent, failed)",
            ["channel", "outcome"],
            registry=registry,
        )
        self.late = Counter(
            "kaon_deadlines_missed", "Runs and blocks that were late", registry=registry
        )
        self.stale = Gauge(
            "kaon_stale_leases",
            "Reports under leases that did not count, since the start",
            registry=registry,
        )
        self.unproven = Gauge(
            "kaon_unproven_reports",
            "Events and renewals of runners without a valid lease token, since the start",
            registry=registry,
        )
        self.unproven_heartbeats = Gauge(
            "kaon_unproven_heartbeats",
            "Heartbeats that no runner of their pool has signed, since the start",
            registry=registry,
        )
        self.fenced = Gauge(
            "kaon_fenced",
            "Partitions lost to a newer owner in a transaction, since the start",
            registry=registry,
        )
        self.quarantined = Gauge(
            "kaon_quarantined_records",
            "Records that could not be understood, since the start",
            registry=registry,
        )
        self.faults = Gauge(
            "kaon_engine_faults",
            "Runs that were ended or set aside because of something unforeseen, since the start",
            registry=registry,
        )
        self.set_aside = Gauge(
            "kaon_runs_set_aside", "Runs of owned partitions that are set aside", registry=registry
        )
        self.partitions = Gauge(
            "kaon_partitions_owned", "Partitions of runs owned here", registry=registry
        )
        self.runs_open = Gauge(
            "kaon_runs_open", "Runs in memory here: not ended", registry=registry
        )
        self.connected = Gauge(
            "kaon_broker_connected",
            "1 while the broker is heard and serves what it is asked",
            registry=registry,
        )
        self.artifacts_deleted = Counter(
            "kaon_artifacts_deleted",
            "Artifacts and code bundles deleted, for nothing needed them",
            registry=registry,
        )
        self.artifacts_deleted_bytes = Counter(
            "kaon_artifacts_deleted_bytes", "Bytes of deleted artifacts", registry=registry
        )
        self.artifacts_kept = Gauge(
            "kaon_artifacts_kept",
            "Artifacts that the last collection from here has kept",
            registry=registry,
        )
        self.artifacts_kept_bytes = Gauge(
            "kaon_artifacts_kept_bytes",
            "Bytes of the artifacts that it has kept",
            registry=registry,
        )
        self.artifacts_swept_time = Gauge(
            "kaon_artifacts_swept_timestamp_seconds",
            "When the last collection from here ended; 0: none yet",
            registry=registry,
        )
        pool = ["pool"]
        self.pool_waiting = Gauge(
            "kaon_pool_steps_waiting", "Steps that wait for a runner", pool, registry=registry
        )
        self.pool_slots = Gauge(
            "kaon_pool_slots", "Slots of the runners heard", pool, registry=registry
        )
        self.pool_running = Gauge(
            "kaon_pool_steps_running", "Steps that run", pool, registry=registry
        )
        self.pool_runners = Gauge("kaon_pool_runners", "Runners heard", pool, registry=registry)
        self.pool_wanted = Gauge(
            "kaon_pool_wanted_slots",
            "Slots that runners with these labels would have to add so that all that waits could run",
            ["pool", "labels"],
            registry=registry,
        )
        self.api_seconds = Histogram(
            "kaon_api_seconds",
            "How long unary calls took, by method and gRPC status",
            ["method", "code"],
            registry=registry,
            buckets=_SHORT,
        )


class ViewMetrics:
    """The metrics of a view service."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.call_seconds = Histogram(
            "kaon_view_seconds",
            "Duration of an API call, by method and gRPC status",
            ["method", "code"],
            registry=registry,
            buckets=_SHORT,
        )
        self.watches = Gauge("kaon_view_watches", "Open watches", registry=registry)


class RunnerMetrics:
    """Metrics of a runner."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.attempts = Counter(
            "kaon_runner_attempts",
            "Attempts by step type and outcome",
            ["type", "outcome"],
            registry=registry,
        )
        self.attempt_seconds = Histogram(
            "kaon_runner_attempt_seconds",
            "How long attempts took here, preparation and uploads included",
            ["type"],
            registry=registry,
            buckets=_LONG,
        )
        self.slots = Gauge("kaon_runner_slots", "Slots in all", registry=registry)
        self.running = Gauge("kaon_runner_steps_running", "Steps that run", registry=registry)
        self.queued = Gauge(
            "kaon_runner_steps_queued", "Steps that wait here for a slot", registry=registry
        )
        self.dropped_commands = Counter(
            "kaon_runner_dropped_commands",
            "Records of commands that no coordinator has signed for this pool and time",
            registry=registry,
        )
        self.draining = Gauge(
            "kaon_runner_draining", "1 while it takes nothing more", registry=registry
        )


class PublisherMetrics:
    """Metrics of a publisher."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.publications = Counter(
            "kaon_publications", "Publications by outcome", ["outcome"], registry=registry
        )
        self.publication_seconds = Histogram(
            "kaon_publication_seconds",
            "From the request to the announcement",
            registry=registry,
            buckets=_LONG,
        )
        self.watchers = Gauge(
            "kaon_model_watchers", "Systems that watch models now", registry=registry
        )


class ConsoleMetrics:
    """Metrics of a console."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.streams = Gauge(
            "kaon_console_streams", "Streams of browsers that are open", registry=registry
        )
