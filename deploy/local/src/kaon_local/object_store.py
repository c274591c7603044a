"""A real S3 server: versitygw over a directory."""

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from kaon_local.fetch import object_store
from kaon_local.ports import HOST, free_port
from kaon_local.probes import http_ok
from kaon_local.process import Command
from kaon_local.server import Server

_HEALTH = "/health"


@dataclass(frozen=True, kw_only=True)
class ObjectStoreConfig:
    """One server with one account. The port is chosen once, so a restarted server is where it was."""

    # Directory for buckets and the log; kept over restarts.
    state: Path
    bucket: str = "kaon"
    access_key: str = "kaon"
    secret_key: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    port: int = field(default_factory=free_port)


class ObjectStore(Server):
    """Healthy when it answers; its bucket is there then."""

    def __init__(
        self, config: ObjectStoreConfig, *, name: str = "object-store", log: Path | None = None
    ) -> None:
        super().__init__(name=name, state=config.state, log=log)
        self.config = config

    @property
    def uri(self) -> str:
        """The bucket as an address of artifacts."""
        return f"s3://{self.config.bucket}"

    def endpoints(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": f"http://{HOST}:{self.config.port}",
            "AWS_ACCESS_KEY_ID": self.config.access_key,
            "AWS_SECRET_ACCESS_KEY": self.config.secret_key,
        }

    def _prepare(self) -> None:
        # A directory is a bucket.
        (self._buckets / self.config.bucket).mkdir(parents=True, exist_ok=True)
        (self.state / "metadata").mkdir(exist_ok=True)

    def _command(self) -> Command:
        return Command(
            argv=(
                *(str(object_store() / "versitygw"), "--quiet", "--health", _HEALTH),
                # What is known of an object lies beside it, for not every file system keeps attributes.
                *(
                    "--port",
                    f"{HOST}:{self.config.port}",
                    "posix",
                    "--sidecar",
                    str(self.state / "metadata"),
                ),
                str(self._buckets),
            ),
            cwd=self.state,
            env={
                "ROOT_ACCESS_KEY_ID": self.config.access_key,
                "ROOT_SECRET_ACCESS_KEY": self.config.secret_key,
            },
        )

    def _probe(self) -> None:
        http_ok(f"http://{HOST}:{self.config.port}{_HEALTH}")

    @property
    def _buckets(self) -> Path:
        return self.state / "buckets"
