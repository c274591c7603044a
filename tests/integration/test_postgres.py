"""The whole system with PostgreSQL as its store."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from support import Api, ledger_lines, load

from kaon_local.postgres import Postgres, PostgresConfig
from kaon_local.system import System, SystemConfig
from kaonapi.run.v1 import run_pb2

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]


def test_runs_succeed_on_postgresql_and_survive_the_coordinators_death(tmp_path: Path) -> None:
    state = Path(tempfile.mkdtemp(prefix="kaon-postgres-"))
    # The server runs as another user when we are root.
    state.chmod(0o711)
    server = Postgres(PostgresConfig(state=state))
    server.start()
    try:
        config = SystemConfig(
            state=tmp_path / "system",
            engines=False,
            docker=False,
            publisher=False,
            database=server.create_database("runs"),
        )
        with System(config, report=print) as system:
            api = Api(system.api)
            ledger = tmp_path / "ledger"
            runs = [
                api.submit(load("faults/workflow.py"), count=3, seconds=1.0, ledger=str(ledger))
                for _ in range(3)
            ]
            api.await_leased(runs[0], "/train")
            system.coordinator.kill()
            system.coordinator.start()
            assert {api.wait(run).status for run in runs} == {run_pb2.STATUS_SUCCEEDED}
            api.close()
        done = Counter(
            (line["run"], line["step"]) for line in ledger_lines(ledger) if line["event"] == "done"
        )
        assert set(done.values()) == {1}
    finally:
        server.stop()
        shutil.rmtree(state, ignore_errors=True)
