"""Commands to runs through the client, on the engine in one process and on the whole system over Kafka."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from shared_system import SharedSystem
from support import load

from kaon.client import Client, Conflict, Endpoints
from kaon_embedded.system import EmbeddedSettings, EmbeddedSystem
from kaonapi.run.v1 import history_pb2, run_pb2, run_service_pb2

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

SUCCEEDED, FAILED = run_pb2.STATUS_SUCCEEDED, run_pb2.STATUS_FAILED


@pytest.fixture(scope="module", params=["embedded", pytest.param("kafka", marks=pytest.mark.real)])
def server(
    request: pytest.FixtureRequest,
    shared_system: SharedSystem,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """Address of the API of a system, without engines."""
    if request.param == "kafka":
        yield shared_system.system.api
        return
    with EmbeddedSystem(
        EmbeddedSettings(state=tmp_path_factory.mktemp("steering"), slots=2)
    ) as embedded:
        yield embedded.address


@pytest.fixture
def client(server: str) -> Iterator[Client]:
    with Client(Endpoints(server=server, principal="ada")) as client:
        yield client


@pytest.fixture
def params(tmp_path: Path) -> dict[str, str]:
    return {"note": str(tmp_path / "note"), "fixed": str(tmp_path / "fixed")}


def submitted(client: Client, params: dict[str, str]) -> str:
    return client.submit(load("steering/workflow.py"), params).run.run_id


def until(client: Client, run_id: str, after_seq: int = 0, **fact: Any) -> history_pb2.HistoryEvent:
    """The first event of this kind whose fields are these."""
    (kind,) = fact
    for update in client.watch(run_id, after_seq):
        found = getattr(update.event, kind)
        if update.event.HasField(kind) and all(
            getattr(found, name) == value for name, value in fact[kind].items()
        ):
            return update.event
    raise AssertionError(f"the run ended without {fact}")


def ended(client: Client, run_id: str) -> run_service_pb2.GetRunResponse:
    for _ in client.watch(run_id):
        pass
    return client.run(run_id)


def failed(client: Client, run_id: str) -> run_service_pb2.GetRunResponse:
    """The run after its first end, a failure."""
    found = ended(client, run_id)
    assert found.run.status == FAILED
    assert "us is broken" in found.run.error.message
    return found


def finish(client: Client, run_id: str, after_seq: int = 0) -> str:
    """Lets the step that holds the run go on, and returns what the run gives."""
    until(client, run_id, after_seq, step_leased={"path": "hold"})
    client.signal(run_id, "go", "go on", path="hold")
    found = ended(client, run_id)
    assert found.run.status == SUCCEEDED, found.run.error
    return found.run.outputs_json["text"]


def starts(params: dict[str, str]) -> int:
    return len(Path(params["note"]).read_text().splitlines())


def test_what_failed_runs_again_and_what_succeeded_is_kept(
    client: Client, params: dict[str, str]
) -> None:
    run_id = submitted(client, params)
    seq = failed(client, run_id).run.last_seq
    Path(params["fixed"]).touch()
    client.retry(run_id, reason="mended")
    assert finish(client, run_id, seq) == '"hello EU+US go on"'
    assert starts(params) == 1
    with pytest.raises(Conflict):
        client.retry(run_id)


def test_a_cell_can_be_given_up_and_marked_by_hand(client: Client, params: dict[str, str]) -> None:
    run_id = submitted(client, params)
    seq = failed(client, run_id).run.last_seq
    client.mark(
        run_id,
        "regions[us]/work",
        SUCCEEDED,
        outputs={"result": "BY HAND"},
        reason="done elsewhere",
    )
    assert finish(client, run_id, seq) == '"hello EU+BY HAND go on"'
    marked = [
        event.block_marked for event in client.history(run_id) if event.HasField("block_marked")
    ]
    assert [(each.requester, each.reason) for each in marked] == [("ada", "done elsewhere")]


def test_a_paused_run_starts_nothing_until_it_is_resumed(
    client: Client, params: dict[str, str]
) -> None:
    Path(params["fixed"]).touch()
    run_id = submitted(client, params)
    seq = until(client, run_id, step_leased={"path": "hold"}).seq
    client.pause(run_id, "lunch")
    until(client, run_id, run_paused={"reason": "lunch"})
    client.signal(run_id, "go", "x", path="hold")
    until(client, run_id, seq, step_ended={"path": "hold"})
    paused = client.run(run_id)
    assert paused.run.status == run_pb2.STATUS_PAUSED
    assert {step.path: step.status for step in paused.steps}.get("join") in (
        None,
        run_pb2.STATUS_PENDING,
    )
    client.resume(run_id)
    assert ended(client, run_id).run.outputs_json["text"] == '"hello EU+US x"'


def test_a_step_and_what_comes_after_it_runs_again(client: Client, params: dict[str, str]) -> None:
    Path(params["fixed"]).touch()
    run_id = submitted(client, params)
    assert finish(client, run_id) == '"hello EU+US go on"'
    seq = client.run(run_id).run.last_seq
    client.restart(run_id, "hold", "say it again")
    until(client, run_id, seq, step_leased={"path": "hold"})
    client.signal(run_id, "go", "again", path="hold")
    assert ended(client, run_id).run.outputs_json["text"] == '"hello EU+US again"'
    assert starts(params) == 1


def test_a_cell_that_is_cancelled_as_skipped_lets_the_others_go_on(
    client: Client, params: dict[str, str]
) -> None:
    Path(params["fixed"]).touch()
    run_id = submitted(client, params)
    until(client, run_id, step_leased={"path": "hold"})
    client.cancel(run_id, "not today", path="hold", skip=True)
    found = ended(client, run_id)
    assert {step.path: step.status for step in found.steps}["hold"] == run_pb2.STATUS_SKIPPED
    assert found.run.status in (SUCCEEDED, FAILED)


def test_a_rerun_changes_parameters(client: Client, params: dict[str, str]) -> None:
    Path(params["fixed"]).touch()
    first = submitted(client, params)
    finish(client, first)
    second = client.rerun(first, {"greeting": "good day"}).run.run_id
    assert finish(client, second) == '"good day EU+US go on"'
    assert starts(params) == 2


def test_a_run_is_shown_as_it_was_and_forked_from_there(
    client: Client, params: dict[str, str]
) -> None:
    Path(params["fixed"]).touch()
    run_id = submitted(client, params)
    leased = until(client, run_id, step_leased={"path": "hold"})
    finish(client, run_id)
    then = client.run_at(run_id, leased.seq)
    assert then.run.status == run_pb2.STATUS_RUNNING
    assert {step.path: step.status for step in then.steps}["hold"] == run_pb2.STATUS_RUNNING
    assert then.state_hash == client.run_at(run_id, leased.seq).state_hash
    assert then.state_hash != client.run_at(run_id).state_hash
    forked = client.fork(run_id, leased.seq, {"greeting": "forked"}).run
    assert (forked.forked_from_run_id, forked.forked_from_seq) == (run_id, leased.seq)
    assert finish(client, forked.run_id) == '"forked EU+US go on"'
    assert starts(params) == 1
    for each in (run_id, forked.run_id):
        verified = client.verify(each)
        assert verified.matches, verified


def test_a_priority_is_kept(client: Client, params: dict[str, str]) -> None:
    # It waits for its signal, so it has not ended before the priority comes.
    Path(params["fixed"]).touch()
    run_id = submitted(client, params)
    client.set_priority(run_id, 7)
    until(client, run_id, run_priority_changed={"priority": 7})
    assert client.run(run_id).run.priority == 7
