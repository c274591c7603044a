"""Several coordinators over one database: each keeps the runs that are submitted to it, and hands none over."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from spread import await_spread
from support import Api, load

from kaon_local.system import System
from kaonapi.run.v1 import run_pb2

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

_OWNERS_OF = (
    "select distinct owner from partitions join runs using (partition) where run_id = any(%s)"
)


def test_runs_begin_where_they_are_submitted(three_coordinators: System, tmp_path: Path) -> None:
    system = three_coordinators
    apis = [Api(address) for address in system.apis[: len(system.coordinators)]]
    await_spread(system, len(apis))
    flow, ledger = load("faults/workflow.py"), str(tmp_path / "ledger")
    version = apis[0].register(flow)
    owners = []
    assert system.config.database is not None
    with psycopg.connect(system.config.database.replace("+psycopg", "")) as database:
        for api in apis:
            runs = [
                api.submit_version(flow.name, version, count=1, seconds=0.0, ledger=ledger)
                for _ in range(8)
            ]
            assert {api.wait(run).status for run in runs} == {run_pb2.STATUS_SUCCEEDED}
            owners += database.execute(_OWNERS_OF, (runs,)).fetchall()
    assert len(set(owners)) == len(owners) == len(apis)
    for api in apis:
        api.close()
