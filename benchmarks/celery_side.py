"""The peer: Celery with Redis as broker and result store, which keeps no history."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kaon_local.errors import MissingTool, NotReady
from kaon_local.paths import cache
from kaon_local.ports import HOST, free_port
from kaon_local.process import Command
from kaon_local.server import Server

_PEER = Path(__file__).parent / "celery_peer"


def environment() -> Path:
    """The Python of the peer's own environment, made when it is missing or out of date."""
    place, wanted = cache() / "celery", (_PEER / "requirements.txt").read_text()
    python, stamp = place / "bin" / "python", place / "requirements.txt"
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        install = [
            str(python),
            "-m",
            "pip",
            "install",
            "--quiet",
            "-r",
            str(_PEER / "requirements.txt"),
        ]
        subprocess.run(install, check=True)
        stamp.write_text(wanted)
    return python


class Redis(Server):
    """A server that keeps everything in memory and writes nothing."""

    def __init__(self, state: Path) -> None:
        super().__init__(name="redis", state=state)
        self.port = free_port()

    @property
    def url(self) -> str:
        """For Celery."""
        return f"redis://{HOST}:{self.port}/0"

    def _prepare(self) -> None:
        if shutil.which("redis-server") is None:
            raise MissingTool(
                "redis-server is not installed (Debian: apt-get install redis-server)"
            )

    def _command(self) -> Command:
        quiet = ("--save", "", "--appendonly", "no")
        return Command(
            argv=("redis-server", "--port", str(self.port), "--bind", HOST, *quiet), cwd=self.state
        )

    def _probe(self) -> None:
        with socket.create_connection((HOST, self.port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            if not connection.recv(64).startswith(b"+PONG"):
                raise NotReady("redis does not answer")


class Workers(Server):
    """Celery's worker with its processes."""

    def __init__(self, state: Path, *, python: Path, redis: str, processes: int) -> None:
        super().__init__(name="celery", state=state)
        self._python = python
        self._redis = redis
        self._processes = processes

    @property
    def _ready(self) -> Path:
        return self.state / "ready"

    def _prepare(self) -> None:
        self._ready.unlink(missing_ok=True)

    def _command(self) -> Command:
        alone = ("--without-gossip", "--without-mingle", "--without-heartbeat")
        argv = (str(self._python), "-m", "celery", "-A", "tasks", "worker", "--loglevel", "warning")
        return Command(
            argv=(*argv, "--concurrency", str(self._processes), *alone),
            env={"BENCH_REDIS": self._redis, "BENCH_READY": str(self._ready), "C_FORCE_ROOT": "1"},
            cwd=_PEER,
        )

    def _probe(self) -> None:
        if not self._ready.exists():
            raise NotReady("the worker has not said that it is ready")


class CelerySide:
    """See `benchmarks.side.Side`.

    Args:
        state: where everything is written.
        processes: tasks that are executed at once.
    """

    name = "celery"

    def __init__(self, state: Path, *, processes: int) -> None:
        python = environment()
        self._redis = Redis(state / "redis")
        self._workers = Workers(
            state / "celery", python=python, redis=self._redis.url, processes=processes
        )
        self._python = python

    def __enter__(self) -> Self:
        self._redis.start()
        self._workers.start()
        self._driver = subprocess.Popen(
            [str(self._python), str(_PEER / "driver.py")],
            env={"BENCH_REDIS": self._redis.url},
            cwd=_PEER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._driver.terminate()
        self._driver.wait()
        self._workers.stop()
        self._redis.stop()

    def call(self) -> None:
        """Do nothing: a broker answers no questions about what was done."""

    def submit(
        self,
        shape: str,
        ledger: Path,
        runs: Sequence[str],
        count: int = 1,
        *,
        together: bool = False,
    ) -> int:
        """See `Side.submit`."""
        order = {
            "shape": shape,
            "ledger": str(ledger),
            "runs": list(runs),
            "count": count,
            "together": together,
        }
        assert self._driver.stdin is not None
        self._driver.stdin.write(json.dumps(order) + "\n")
        self._driver.stdin.flush()
        began: int = self._answer()["began"]
        return began

    def settle(self) -> None:
        """The ledger has said all that Celery knows."""

    def parts(self) -> Mapping[str, Sequence[int]]:
        """See `Side.parts`."""
        return {"broker": self._redis.pids, "workers": self._workers.pids}

    def _answer(self) -> dict[str, Any]:
        assert self._driver.stdout is not None
        answer: dict[str, Any] = json.loads(self._driver.stdout.readline())
        return answer
