"""Three coordinators share the runs of one PostgreSQL: one dies, one leaves in order, both come back. A fourth only takes calls."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from spread import await_spread, owned
from support import Api, ledger_lines, load

from kaon_local.system import System
from kaonapi.run.v1 import run_pb2

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]


def test_partitions_move_when_a_coordinator_dies_leaves_or_joins_and_no_run_is_lost_or_done_twice(
    three_coordinators: System, tmp_path: Path
) -> None:
    three = three_coordinators
    apis = [Api(address) for address in three.apis]
    await_spread(three, 3)
    ledger, flow = tmp_path / "ledger", load("faults/workflow.py")
    version = apis[0].register(flow)

    def submit(count: int, *ways: Api) -> list[str]:
        return [
            ways[number % len(ways)].submit_version(
                flow.name, version, count=2, seconds=1.0, ledger=str(ledger)
            )
            for number in range(count)
        ]

    runs = submit(9, *apis)
    first, second, third = three.coordinators
    (api_only,) = three.apis_only
    assert owned(three, api_only) == 0
    apis[0].await_leased(runs[0], "/train")
    third.kill()
    runs += submit(4, *apis[:2])
    await_spread(three, 2)
    second.stop()
    runs += submit(4, apis[0], apis[-1])
    await_spread(three, 1)
    third.start()
    second.start()
    await_spread(three, 3)
    runs += submit(6, *apis)
    assert first.running
    assert owned(three, api_only) == 0
    assert Counter(apis[0].wait(run).status for run in runs) == {
        run_pb2.STATUS_SUCCEEDED: len(runs)
    }
    done = Counter(
        (line["run"], line["step"]) for line in ledger_lines(ledger) if line["event"] == "done"
    )
    assert len(done) == 4 * len(runs)
    for run in runs:
        accepted = Counter(
            event.step_ended.path for event in apis[1].history(run) if event.HasField("step_ended")
        )
        assert set(accepted.values()) == {1}
        assert len(accepted) == 4
    for api in apis:
        api.close()
