"""Environment variables that no settings module of a service reads, with their meaning."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Variable:
    """One environment variable."""

    name: str
    # As one would write it; empty when there is none, or when it is found at the start.
    default: str = ""
    text: str


# Variables that are read outside of the services' settings, by heading.
ELSEWHERE: dict[str, tuple[Variable, ...]] = {
    "All services": (
        Variable(
            name="OTEL_EXPORTER_OTLP_ENDPOINT",
            text="Base URL of an OpenTelemetry collector that takes spans by OTLP over HTTP. It wins over `KAON_TRACES`.",
        ),
        Variable(
            name="KAON_TRACES", text="File to which spans are appended, one JSON object a line."
        ),
        Variable(
            name="KAON_WEBHDFS",
            text="host:port of the NameNode's HTTP interface, for hdfs: addresses; by default port 9870 of the address' host.",
        ),
        Variable(name="HADOOP_USER_NAME", default="root", text="User as whom HDFS is asked."),
    ),
    "Coordinator, view service and publisher": (
        Variable(
            name="KAON_AUDIT",
            default="off",
            text="Which calls are recorded: off, changes (and refusals), or all; changes when callers are authenticated.",
        ),
        Variable(
            name="KAON_AUDIT_DATABASE",
            text="Where they are recorded, as an SQLAlchemy URL; by default the service's own database.",
        ),
        Variable(
            name="KAON_AUDIT_KEY",
            text="File with the Ed25519 private key (PEM) that signs the newest row's hash every hour.",
        ),
        Variable(
            name="KAON_AUDIT_RETENTION_DAYS",
            default="0",
            text="Days for which rows of the audit log are kept; 0: for ever.",
        ),
        Variable(name="KAON_AUTH", default="off", text="on: callers are authenticated."),
    ),
    "Step-runner, beside its settings": (
        Variable(
            name="KAON_LOG_LEVEL",
            default="info",
            text="Least level of the log lines that the runner writes.",
        ),
        Variable(
            name="KAON_PUBLISHER_PATIENCE_SECONDS",
            text="How long a publish step tries to reach a publisher that does not answer, within one attempt.",
        ),
        Variable(
            name="KAON_COMMAND_PUBLIC_KEYS",
            text="PEM file with the public keys of the coordinators, one after the other: what they do not sign is dropped.",
        ),
        Variable(
            name="KAON_POOL_KEY",
            text="File with the key of the runner's pool: it signs its heartbeats.",
        ),
        Variable(
            name="DOCKER_HOST",
            text="Address of the Docker engine, where `KAON_DOCKER_HOST` is not set.",
        ),
    ),
    "Console, beside its settings": (
        Variable(
            name="TZ", text="Time zone that the page offers as the server's; default: the system's."
        ),
    ),
    "The program that creates topics": (
        Variable(
            name="KAON_MIN_ISR",
            default="1",
            text="How many brokers must have a record before it is acknowledged. The other variables are the coordinator's.",
        ),
        Variable(
            name="KAON_KAFKA_PRINCIPALS",
            default="User:kaon-{account}",
            text="How the brokers name an account to which rights are granted.",
        ),
    ),
    "SDK and command line": (
        Variable(
            name="KAON_SERVER", default="127.0.0.1:7070", text="host:port of the coordinator."
        ),
        Variable(
            name="KAON_PUBLISHER",
            default="127.0.0.1:7071",
            text="host:port of the model-publisher.",
        ),
        Variable(
            name="KAON_TOKEN",
            text="Static token, or JWT, that calls show. It goes before what `kaon login` keeps.",
        ),
        Variable(
            name="KAON_OIDC_ISSUER",
            text="OIDC issuer at which `kaon login` logs in, and people at the console.",
        ),
        Variable(
            name="KAON_OIDC_CLIENT_ID",
            default="kaon",
            text="Public client that is registered there for the command line.",
        ),
        Variable(name="KAON_TENANT", default="default", text="Tenant for whom calls are made."),
        Variable(
            name="KAON_PRINCIPAL",
            default="anonymous",
            text="Name of the caller, as histories show it.",
        ),
        Variable(
            name="KAON_ROLES", text="Roles of the caller, separated by commas, for approvals."
        ),
        Variable(
            name="KAON_TLS_CA",
            text="PEM file with the authorities of the services' certificates; turns TLS on.",
        ),
        Variable(
            name="XDG_CONFIG_HOME",
            default="~/.config",
            text="Where `kaon login` keeps what it was given, in `kaon/`.",
        ),
        Variable(name="TRACEPARENT", text="W3C trace context that runs continue."),
        Variable(
            name="KAON_LIMITS",
            text="Bounds of definitions that the SDK checks. Give it the value that the coordinators have.",
        ),
        Variable(
            name="PYTHONPATH",
            text="Modules in these directories count as installed: they are not put into code bundles.",
        ),
    ),
    "Set by the runner for the processes of a step": (
        Variable(
            name="KAON_STEP_DIR",
            text="The step's directory; docs/steps.md describes what is in it.",
        ),
        Variable(
            name="KAON_BUNDLE",
            text="The runner's copy of the code bundle. Steps must not change it.",
        ),
        Variable(
            name="KAON_INPUT_<NAME>",
            text="The value of an input of a shell or docker step; of an artifact its path.",
        ),
        Variable(
            name="KAON_CODE_PATH",
            text="Internal: what comes first on a Python worker's module path.",
        ),
        Variable(
            name="KAON_DOCKER_LIMITS",
            text="Internal: limits of a docker step's container, as JSON.",
        ),
        Variable(
            name="KAON_DOCKER_NETWORK", text="Internal: network of a docker step's container."
        ),
        Variable(
            name="KAON_R_HELPER", text="Internal: path of the R functions that an R step may call."
        ),
        Variable(
            name="KAON_ENGINE_TOKEN",
            text="Internal: what a Hive or Spark step shows to its server as its tenant.",
        ),
        Variable(name="KAON_SPARK_SESSION", text="Internal: which Spark session a step joins."),
        Variable(
            name="KAON_SUPERVISED",
            text="Internal: marks all processes of a step, so that they can be found.",
        ),
    ),
    "docker-compose.yml": (
        Variable(
            name="KAON_HADOOP_CONF",
            default="./deploy/compose/hadoop",
            text="Directory of this machine with the cluster's hdfs-site.xml and core-site.xml: the runners' HADOOP_CONF_DIR.",
        ),
        Variable(name="KAON_TAG", default="dev", text="Tag of the images."),
        Variable(
            name="KAON_CONTAINERS",
            text="Directory with what each container of the closed system sees of its keys; `make up SECURE=1` makes it.",
        ),
        Variable(
            name="KAON_ISSUER_PORT",
            default="7076",
            text="Port of the closed system's OIDC issuer, on this machine.",
        ),
        Variable(name="KAON_TOKEN_PLATFORM_RUNNER", text="Token of the closed system's runners."),
        Variable(
            name="KAON_TOKEN_BLUE_CONSUMER", text="Token of the closed system's example consumer."
        ),
        Variable(
            name="KAON_RUNNER_VARIANT",
            default="full",
            text="Which engines the runner's image has: base, spark, r or full.",
        ),
        Variable(
            name="KAON_RUNNER_MEMORY_BYTES",
            default="3221225472",
            text="Memory that one runner offers: `KAON_MEMORY_BYTES` of the runner.",
        ),
        Variable(
            name="KAON_NOTIFICATIONS_FILE",
            default="./deploy/compose/notifications.toml",
            text="Channels that workflows may notify; mounted for coordinators as `KAON_NOTIFICATIONS`.",
        ),
        Variable(
            name="KAON_TENANTS_FILE",
            default="./deploy/compose/tenants.toml",
            text="Weights, quotas and limits of tenants; mounted for coordinators, view service and publisher as `KAON_TENANTS`.",
        ),
        Variable(
            name="KAON_VIEW_DATABASE",
            text="Database that the view service reads, such as a replica; the coordinators' by default.",
        ),
        Variable(
            name="KAON_POSTGRES_PASSWORD",
            text="Password of PostgreSQL; `make images` makes one up and writes it to .env.",
        ),
        Variable(
            name="KAON_DATA",
            default="./.kaon/data",
            text="Directory that runners see as /data, read-only.",
        ),
        Variable(name="KAON_API_PORT", default="7070", text="Port of the gateway to the gRPC API."),
        Variable(name="KAON_PUBLISHER_PORT", default="7071", text="Port of the model-publisher."),
        Variable(name="KAON_CONSOLE_PORT", default="7072", text="Port of the web console."),
        Variable(name="KAON_REGISTRY_PORT", default="7073", text="Port of the image registry."),
        Variable(name="KAON_CONSUMER_PORT", default="7074", text="Port of the example consumer."),
        Variable(name="KAON_VIEW_PORT", default="7075", text="Port of the view service."),
        Variable(
            name="KAON_KAFKA_CLUSTER_ID",
            text="Id of the Kafka cluster; the brokers' volumes remember it.",
        ),
        Variable(
            name="KAON_KAFKA_VOTERS",
            default="1@kafka:9093",
            text="Brokers that elect the controller; deploy/compose/ha.env names three.",
        ),
        Variable(
            name="KAON_DOCKER_SOCKET",
            default="/var/run/docker.sock",
            text="Socket of the machine's Docker engine.",
        ),
        Variable(
            name="KAON_DOCKER_GROUP",
            default="0",
            text="Group that may use that socket; `make images` finds it.",
        ),
        Variable(
            name="KAON_STEPS_DIRECTORY",
            text="With deploy/compose/docker-steps.yml: directory of the machine for the steps, which the engine can mount.",
        ),
    ),
    "Building images, and work on Kaon itself": (
        Variable(
            name="KAON_BASES",
            text="Where bases of images come from: `public` (a registry) or `local` (made here); by default what can be reached.",
        ),
        Variable(
            name="KAON_BASE_IMAGE",
            text="Image in place of the base that is made here, pulled where the engine does not have it.",
        ),
        Variable(
            name="KAON_TOKEN_BLUE_VIEWER",
            text="Written by `make dev SECURE=1`, as one variable for each tenant and role: a token of that person.",
        ),
        Variable(
            name="KAON_LONG_TESTS", text="1: `.ci/run` runs the long tests, too; it names them."
        ),
        Variable(
            name="KAON_CHAOS_MINUTES",
            default="1",
            text="How long `.ci/run` disturbs a running system at random.",
        ),
        Variable(
            name="KAON_HUNT",
            text="How often property-based tests try; `make hunt TIMES=50` sets it.",
        ),
        Variable(
            name="KAON_CONSOLE",
            default="http://127.0.0.1:7072",
            text="Console to which the development server of the page passes calls on.",
        ),
        Variable(
            name="KAON_BENCH_OUT", text="Internal: directory of the page that a benchmark builds."
        ),
        Variable(
            name="KAON_HDFS", text="Address of the HDFS that `make dev` and `make demo` started."
        ),
        Variable(
            name="KAON_POSTGRES", text="URL of the PostgreSQL that the development tools started."
        ),
        Variable(name="KAON_SPARK_UI", text="Address of the page of the Spark that they started."),
    ),
}
