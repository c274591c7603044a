"""The client against a real gRPC server."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import pytest
from sdk_api_server import World, short_history

from kaon import Workflow
from kaon.client import Client, Conflict, Endpoints, InvalidValue, NotFound, Patience, Unavailable
from kaon.client import params as parameters
from kaonapi.log.v1 import log_pb2
from kaonapi.model.v1 import model_pb2
from kaonapi.run.v1 import run_pb2
from kaonapi.step.v1 import step_pb2

Build = Callable[[str], Workflow]

CODE = """
from kaon import *
def f(limit): ...
w = Workflow("w", steps.python("a", f, limit=param("limit", float, default=1)))
"""
PLAIN = 'from kaon import *\nw = Workflow("w", steps.shell("a", argv=["true"]))\n'


def test_a_submit_uploads_the_code_once_and_registers_the_definition(
    client: Client, world: World, build: Build
) -> None:
    workflow = build(CODE)
    first = client.submit(workflow, {"limit": 2})
    second = client.submit(workflow, {"limit": 2})
    assert world.uploads == 1
    assert world.bundles == {workflow.bundle().digest: workflow.bundle().data}
    assert world.workflows[workflow.version].definition == workflow.definition()
    assert (first.run.version, dict(first.run.params_json)) == (workflow.version, {"limit": "2.0"})
    assert first.run.run_id != second.run.run_id


def test_a_large_bundle_travels_in_pieces(client: Client, world: World) -> None:
    data = bytes(range(256)) * 10_000
    from kaon_wire import canonical

    assert client.upload_bundle(canonical.digest_bytes(data), data).size_bytes == len(data)
    assert world.bundles[canonical.digest_bytes(data)] == data


def test_a_key_makes_one_run_and_another_payload_is_a_conflict(client: Client, build: Build) -> None:
    workflow = build(CODE)
    first = client.submit(workflow, {}, key="k")
    again = client.submit(workflow, {}, key="k")
    assert (first.created, again.created) == (True, False)
    assert first.run.run_id == again.run.run_id
    with pytest.raises(Conflict, match="other parameters"):
        client.submit(workflow, {"limit": 3}, key="k")


def test_a_submit_that_is_tried_again_makes_one_run(client: Client, world: World, build: Build) -> None:
    world.refusals = 2
    assert client.submit(build(PLAIN)).created
    assert len(world.runs) == 1


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"nope": 1}, "has no parameter 'nope'; it has: limit"),
        ({"limit": "x"}, "'limit' must be of type float, not \"x\""),
        ({"limit": True}, "must be of type float, not true"),
    ],
)
def test_wrong_parameters_are_told_before_anything_is_sent(
    client: Client, world: World, build: Build, params: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidValue, match=message):
        client.submit(build(CODE), params)
    assert not world.workflows


def test_a_missing_parameter_is_named(client: Client, build: Build) -> None:
    workflow = build(
        'from kaon import *\nw = Workflow("w", steps.shell("a", argv=["x"], c=param("c", str)))\n'
    )
    with pytest.raises(InvalidValue, match=r"needs parameter 'c' \(string\)"):
        client.submit(workflow)


def test_texts_of_a_command_line_become_values_of_the_declared_types(build: Build) -> None:
    definition = build(
        'from kaon import *\nw = Workflow("w", steps.shell("a", argv=["x"]), parameters={"s": str, "n": int, "l": list})\n'
    ).definition()
    written = {"s": "12", "n": "12", "l": '["a"]', "other": "plain text"}
    assert parameters.parse(definition, written) == {"s": "12", "n": 12, "l": ["a"], "other": "plain text"}


def test_every_call_carries_the_principal(client: Client, world: World, build: Build) -> None:
    client.submit(build(PLAIN))
    assert world.metadata[-1].items() >= {"kaon-tenant": "acme", "kaon-principal": "ada"}.items()


def test_endpoints_come_from_the_environment() -> None:
    found = Endpoints.from_environment({"KAON_SERVER": "a:1", "KAON_PUBLISHER": "b:2", "KAON_TENANT": "t"})
    assert found == Endpoints(server="a:1", publisher="b:2", tenant="t")
    assert Endpoints.from_environment({}) == Endpoints(server="127.0.0.1:7070", publisher="127.0.0.1:7071")


def test_a_watch_goes_on_after_breaks_and_yields_every_event_once(
    client: Client, world: World, build: Build
) -> None:
    client.submit(build(PLAIN))
    world.history = short_history()
    world.breaks_after = [2, 0, 1, 3]
    seen = [update.event.seq for update in client.watch("r1")]
    assert seen == [1, 2, 3, 4, 5, 6]
    assert world.watched_after == [0, 2, 2, 2, 4]


def test_a_watch_begins_where_it_is_told(client: Client, world: World, build: Build) -> None:
    client.submit(build(PLAIN))
    world.history = short_history()
    assert [update.event.seq for update in client.watch("r1", after_seq=4)] == [5, 6]


def test_a_watch_of_a_stream_that_ends_early_goes_on(client: Client, world: World, build: Build) -> None:
    client.submit(build(PLAIN))
    history = short_history()
    world.history = history[:3]
    watch = client.watch("r1")
    assert [update.event.seq for update in islice(watch, 3)] == [1, 2, 3]
    world.history = history
    assert [update.event.seq for update in watch] == [4, 5, 6]


def test_a_watch_gives_up_when_nothing_comes_any_more(client: Client, world: World, build: Build) -> None:
    client.submit(build(PLAIN))
    world.history = short_history()
    world.breaks_after = [0] * 1000
    with pytest.raises(Unavailable, match="the coordinator restarts"):
        list(client.watch("r1"))
    assert 2 < len(world.watched_after) < 20


def test_progress_passes_through_a_watch(client: Client, world: World, build: Build) -> None:
    client.submit(build(PLAIN))
    world.history, world.progress = short_history(), [run_pb2.StepView(path="a", progress=0.5)]
    assert next(client.watch("r1")).progress.progress == 0.5


def test_unknown_things_are_not_found(client: Client) -> None:
    for ask in (lambda: client.run("r9"), lambda: client.watch("r9"), lambda: client.cancel("r9")):
        with pytest.raises(NotFound, match="there is no run 'r9'"):
            ask()
    with pytest.raises(NotFound, match="there is no model 'm'"):
        client.models.get("m")


def test_a_server_that_does_not_answer_is_named() -> None:
    patience = Patience(total=0.05, first_pause=0.01)
    with Client(Endpoints(server="127.0.0.1:1"), patience=patience) as client:
        with pytest.raises(Unavailable, match=r"no answer from 127\.0\.0\.1:1 .*KAON_SERVER"):
            client.workflows()


def test_runs_are_listed_over_pages(client: Client, build: Build) -> None:
    workflow = build(PLAIN)
    for _ in range(5):
        client.submit(workflow)
    assert [run.run_id for run in client.runs(limit=4)] == ["r1", "r2", "r3", "r4"]
    assert len(client.runs()) == 5
    assert client.cancel("r2").status == run_pb2.STATUS_CANCELLING
    assert [run.run_id for run in client.runs(status=run_pb2.STATUS_CANCELLING)] == ["r2"]


def lines(path: str, generation: int, *sequences: int) -> log_pb2.LogLines:
    key = step_pb2.StepKey(run_id="r1", path=path, attempt=1, generation=generation)
    return log_pb2.LogLines(
        key=key, lines=[log_pb2.LogLine(sequence=n, text=f"{path}{n}") for n in sequences]
    )


def test_logs_that_are_followed_come_once_although_the_stream_breaks(
    client: Client, world: World, build: Build
) -> None:
    client.submit(build(PLAIN))
    world.logs = [lines("a", 1, 1, 2), lines("a", 1, 2, 3), lines("b", 1, 1), lines("a", 2, 1)]
    world.breaks_after = [1, 3]
    texts = [line.text for each in client.logs("r1", follow=True) for line in each.lines]
    assert texts == ["a1", "a2", "a3", "b1", "a1"]
    assert [line.text for each in client.logs("r1", "b") for line in each.lines] == ["b1"]


def announcement(cursor: int) -> model_pb2.Announcement:
    return model_pb2.Announcement(cursor=cursor, version=model_pb2.ModelVersion(model="m", version=cursor))


def test_models_are_watched_across_breaks_and_acknowledged(client: Client, world: World) -> None:
    world.announcements = [announcement(cursor) for cursor in (1, 2, 3)]
    world.breaks_after = [0]
    watched = [each.cursor for each in islice(client.models.watch("shop", "m"), 3)]
    client.models.acknowledge("shop", 3)
    assert watched == [1, 2, 3]
    assert world.watched_after == [-1, 1]
    assert world.acknowledged == {"shop": 3}
    assert [each.version for each in client.models.list()] == [1, 2, 3]


def test_runners_are_listed_by_pool(client: Client) -> None:
    assert [runner.runner_id for runner in client.runners()] == ["host-1"]
    assert client.runners("gpu") == []
