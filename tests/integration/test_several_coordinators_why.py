"""Several coordinators and one that owns no partitions over one database: each answers for the pool, whose matcher one has."""

from __future__ import annotations

import contextlib

import pytest
from support import load, until

from kaon.client import Client, Endpoints
from kaon_local.system import System
from kaonapi.runner.v1 import runner_pb2 as r

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]


def test_all_say_the_same_about_a_step_that_waits_and_name_the_pools_owner(
    three_coordinators: System,
) -> None:
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(Client(Endpoints(server=address)))
            for address in three_coordinators.apis
        ]
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

    assert len({each.text for each in found}) == 1
    (owner,) = {each.owner for each in found}
    assert {pool.owner for answer in pools for pool in answer.pools} == {owner}
    assert {len(answer.pools) for answer in pools} == {1}
    assert {len(answer.runners) for answer in runners} == {2}
    # Those that have no matcher have asked the one that has, and say at which address.
    assert sum(bool(each.owner_address) for each in found) == len(clients) - 1
