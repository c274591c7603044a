"""Two coordinators over one database: each answers for the pool, although only one has its matcher."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import load, until

from kaon.client import Client, Endpoints
from kaon_local.postgres import Postgres, PostgresConfig
from kaon_local.system import System, SystemConfig
from kaonapi.runner.v1 import runner_pb2 as r

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]


@pytest.fixture
def database() -> Iterator[str]:
    """A PostgreSQL server's database."""
    state = Path(tempfile.mkdtemp(prefix="kaon-postgres-"))
    # The server runs as another user when we are root.
    state.chmod(0o711)
    server = Postgres(PostgresConfig(state=state))
    server.start()
    try:
        yield server.create_database("why")
    finally:
        server.stop()
        shutil.rmtree(state, ignore_errors=True)


def test_both_say_the_same_about_a_step_that_waits_and_name_the_pools_owner(
    database: str, tmp_path: Path
) -> None:
    config = SystemConfig(
        state=tmp_path / "system",
        engines=False,
        docker=False,
        publisher=False,
        database=database,
        coordinators=2,
    )
    with System(config, report=print) as system, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(Endpoints(server=address))) for address in system.apis]
        run_id = clients[0].submit(load("waiting/workflow.py")).run.run_id
        for client in clients:
            until(
                lambda client=client: (
                    r.WAIT_CAUSE_NO_LABEL  # type: ignore[misc]
                    in [reason.cause for reason in client.why(run_id, "after").reasons]
                ),
                seconds=60,
                what="the step waits for a runner",
            )
        found = [client.why(run_id, "after") for client in clients]
        pools = [client.list_pools() for client in clients]
        runners = [client.list_runners() for client in clients]

    assert found[0].text == found[1].text
    assert {pool.owner for answer in pools for pool in answer.pools} == {found[0].owner} == {found[1].owner}
    assert [len(answer.pools) for answer in pools] == [1, 1]
    assert [len(answer.runners) for answer in runners] == [2, 2]
    # The one that has no matcher has asked the other, and says at which address.
    assert sum(bool(each.owner_address) for each in found) == 1
