"""The client against a real gRPC server."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date
from itertools import islice

import pytest
from sdk_api_server import World, event, short_history

from kaon import Workflow
from kaon.client import (
    AccessDenied,
    Client,
    Conflict,
    Endpoints,
    InvalidValue,
    NotFound,
    Patience,
    Unavailable,
)
from kaon.client import params as parameters
from kaon_wire import canonical
from kaonapi.log.v1 import log_pb2
from kaonapi.model.v1 import model_pb2
from kaonapi.run.v1 import history_pb2, run_pb2, run_service_pb2
from kaonapi.schedule.v1 import schedule_pb2
from kaonapi.step.v1 import step_pb2

Build = Callable[[str], Workflow]

CODE = """
from kaon import *
def f(limit): ...
w = Workflow("w", steps.python("a", f, limit=param("limit", float, default=1)))
"""
PLAIN = 'from kaon import *\nw = Workflow("w", steps.shell("a", argv=["true"]))\n'


@contextmanager
def distant(address: str, seconds: float) -> Iterator[str]:
    """A line to a server on which nothing arrives for so long after it was opened; for one connection."""
    host, port = address.rsplit(":", 1)

    def carry(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def join() -> None:
        near, _ = listener.accept()
        time.sleep(seconds)
        with near, socket.create_connection((host, int(port))) as far:
            back = threading.Thread(target=carry, args=(far, near), daemon=True)
            back.start()
            carry(near, far)
            back.join()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=join, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_a_connection_to_a_server_that_is_far_away_is_not_given_up(address: str) -> None:
    data = b"data"
    with distant(address, 0.5) as far_away:
        endpoints = Endpoints(server=far_away, publisher=far_away)
        with Client(endpoints, patience=Patience(total=0)) as client:
            assert client.upload_bundle(canonical.digest_bytes(data), data).size_bytes == len(data)


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

    assert client.upload_bundle(canonical.digest_bytes(data), data).size_bytes == len(data)
    assert world.bundles[canonical.digest_bytes(data)] == data


def test_a_key_makes_one_run_and_another_payload_is_a_conflict(
    client: Client, build: Build
) -> None:
    workflow = build(CODE)
    first = client.submit(workflow, {}, key="k")
    again = client.submit(workflow, {}, key="k")
    assert (first.created, again.created) == (True, False)
    assert first.run.run_id == again.run.run_id
    with pytest.raises(Conflict, match="other parameters"):
        client.submit(workflow, {"limit": 3}, key="k")


def test_a_submit_that_is_tried_again_makes_one_run(
    client: Client, world: World, build: Build
) -> None:
    world.refusals = 2
    assert client.submit(build(PLAIN)).created
    assert len(world.runs) == 1


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"nope": 1}, "has no parameter 'nope'; it has: limit"),
        ({"limit": "x"}, "'limit' must be a number, not \"x\""),
        ({"limit": True}, "must be a number, not true"),
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
    assert parameters.parse(definition, written) == {
        "s": "12",
        "n": 12,
        "l": ["a"],
        "other": "plain text",
    }


def test_every_call_carries_the_principal(client: Client, world: World, build: Build) -> None:
    client.submit(build(PLAIN))
    assert world.metadata[-1].items() >= {"kaon-tenant": "acme", "kaon-principal": "ada"}.items()


def test_endpoints_come_from_the_environment() -> None:
    found = Endpoints.from_environment(
        {"KAON_SERVER": "a:1", "KAON_PUBLISHER": "b:2", "KAON_TENANT": "t"}
    )
    assert found == Endpoints(server="a:1", publisher="b:2", tenant="t")
    assert Endpoints.from_environment({"KAON_ROLES": "owner, admin,"}).roles == ("owner", "admin")
    assert Endpoints.from_environment({}) == Endpoints(
        server="127.0.0.1:7070", publisher="127.0.0.1:7071"
    )


def test_a_watch_goes_on_after_breaks_and_yields_every_event_once(
    client: Client, world: World, build: Build
) -> None:
    client.submit(build(PLAIN))
    world.history = short_history()
    world.breaks_after = [2, 0, 1, 3]
    seen = [update.event.seq for update in client.watch("r1")]
    assert seen == [1, 2, 3, 4, 5, 6]
    assert world.watched_after == [0, 2, 2, 2, 4]


def test_a_wait_for_the_end_goes_on_after_breaks(
    client: Client, world: World, build: Build
) -> None:
    client.submit(build(PLAIN))
    world.breaks_after, world.at_end = [0, 0], short_history()
    assert not client.summary("r1").HasField("end_time")
    ended = client.until_ended("r1")
    assert ended.HasField("end_time")
    assert (ended, len(world.watched_after)) == (client.summary("r1"), 3)
    client.until_ended("r1")
    assert len(world.watched_after) == 3


def test_a_watch_begins_where_it_is_told(client: Client, world: World, build: Build) -> None:
    client.submit(build(PLAIN))
    world.history = short_history()
    assert [update.event.seq for update in client.watch("r1", after_seq=4)] == [5, 6]


def test_a_watch_of_a_stream_that_ends_early_goes_on(
    client: Client, world: World, build: Build
) -> None:
    client.submit(build(PLAIN))
    history = short_history()
    world.history = history[:3]
    watch = client.watch("r1")
    assert [update.event.seq for update in islice(watch, 3)] == [1, 2, 3]
    world.history = history
    assert [update.event.seq for update in watch] == [4, 5, 6]


def test_a_watch_gives_up_when_nothing_comes_any_more(
    client: Client, world: World, build: Build
) -> None:
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


def test_a_workflow_registers_its_sub_workflows_first(
    client: Client, world: World, build: Build
) -> None:
    workflow = build("""
from kaon import *
child = Workflow("child", steps.shell("a", argv=["x"]))
parent = Workflow("parent", sub_workflow("c", child))
""")
    client.submit(workflow)
    assert [each.name for each in world.workflows.values()] == ["child", "parent"]


def test_a_watch_of_a_run_that_was_opened_again_goes_on_after_its_first_end(
    client: Client, world: World, build: Build
) -> None:
    client.submit(build(PLAIN))
    reset = history_pb2.BlocksReset(paths=["a"], cause="retry")
    again = [each for each in short_history() if not each.HasField("run_submitted")]
    world.history = [*short_history(run_pb2.STATUS_FAILED), event(7, blocks_reset=reset)]
    for each in again:
        each.seq += 6
        world.history.append(each)
    assert [update.event.seq for update in client.watch("r1")] == list(range(1, 13))


def test_a_history_ends_where_the_run_is(client: Client, world: World, build: Build) -> None:
    client.submit(build(PLAIN))
    assert list(client.history("r1")) == []
    world.history = short_history()[:4]
    world.runs["r1"].last_seq = 3
    assert [each.seq for each in client.history("r1")] == [1, 2, 3]
    assert [each.seq for each in client.history("r1", after_seq=2)] == [3]


def test_commands_say_what_is_asked(client: Client, world: World, build: Build) -> None:
    client.submit(build(CODE))
    s = run_service_pb2
    client.cancel("r1", "why", path="a", skip=True, force=True)
    assert client.pause("r1", "why").status == run_pb2.STATUS_PAUSED
    client.resume("r1")
    client.set_breakpoint("r1", "a", "why")
    client.pass_breakpoint("r1", "a")
    client.signal("r1", "go", {"rows": 3}, path="a")
    client.answer("r1", "ok", approved=True, comment="fine")
    client.retry("r1", "a")
    client.restart("r1", "a", "again")
    client.mark("r1", "a", run_pb2.STATUS_SUCCEEDED, outputs={"x": 1}, reason="by hand")
    assert client.set_priority("r1", 7).priority == 7
    assert world.asked == [
        s.CancelRunRequest(run_id="r1", reason="why", path="a", skip=True, force=True),
        s.PauseRunRequest(run_id="r1", reason="why"),
        s.ResumeRunRequest(run_id="r1"),
        s.SetBreakpointRequest(run_id="r1", step="a", reason="why"),
        s.PassBreakpointRequest(run_id="r1", step="a"),
        s.SignalRunRequest(run_id="r1", name="go", payload_json='{"rows":3}', path="a"),
        s.AnswerGateRequest(run_id="r1", path="ok", approved=True, comment="fine"),
        s.RetryRunRequest(run_id="r1", path="a"),
        s.RestartRunRequest(run_id="r1", path="a", reason="again"),
        s.MarkBlockRequest(
            run_id="r1",
            path="a",
            status=run_pb2.STATUS_SUCCEEDED,
            outputs_json={"x": "1"},
            reason="by hand",
        ),
        s.SetRunPriorityRequest(run_id="r1", priority=7),
    ]


def test_what_may_be_done_twice_is_tried_again(client: Client, world: World, build: Build) -> None:
    client.submit(build(PLAIN))
    world.refusals = 2
    assert client.pause("r1").status == run_pb2.STATUS_PAUSED
    assert len(world.asked) == 1


def test_a_signal_to_all_has_a_key_and_is_tried_again(client: Client, world: World) -> None:
    world.refusals = 1
    answer = client.signal_all("go", {"day": "mon"})
    assert (answer.runs, answer.waiting, answer.created) == (3, 1, True)
    client.signal_all("go", key="k")
    first, second = world.asked
    assert (first.name, first.payload_json) == ("go", '{"day":"mon"}')
    assert len(first.idempotency_key) == 32
    assert (second.payload_json, second.idempotency_key) == ("null", "k")


def test_what_must_not_be_done_twice_is_sent_once(
    client: Client, world: World, build: Build
) -> None:
    client.submit(build(PLAIN))
    commands: list[Callable[[], object]] = [
        lambda: client.signal("r1", "go"),
        lambda: client.answer("r1", "ok", approved=True),
        lambda: client.retry("r1"),
        lambda: client.restart("r1", "a"),
        lambda: client.mark("r1", "a", run_pb2.STATUS_SKIPPED, reason="x"),
    ]
    for command in commands:
        world.refusals = 1
        with pytest.raises(Unavailable, match="may have executed the call: check the history"):
            command()
    assert world.asked == []


def test_an_answer_needs_a_role(address: str, client: Client, build: Build) -> None:
    client.submit(build(PLAIN))
    with pytest.raises(AccessDenied, match="release is answered by owner"):
        client.answer("r1", "release", approved=True)
    endpoints = Endpoints(server=address, publisher=address, roles=("owner", "admin"))
    with Client(endpoints) as owner:
        owner.answer("r1", "release", approved=True)


def test_a_rerun_and_a_fork_change_parameters_of_the_declared_types(
    client: Client, world: World, build: Build
) -> None:
    client.submit(build(CODE), {"limit": 2})
    assert dict(client.rerun("r1").run.params_json) == {"limit": "2.0"}
    assert dict(client.rerun("r1", {"limit": 3}).run.params_json) == {"limit": "3.0"}
    forked = client.fork("r1", 4, {"limit": 4}, reset=["a"]).run
    assert (forked.forked_from_run_id, forked.forked_from_seq) == ("r1", 4)
    assert list(world.asked[-1].reset) == ["a"]
    with pytest.raises(InvalidValue, match="'limit' must be a number"):
        client.rerun("r1", {"limit": "x"})


def test_a_run_is_shown_as_it_was_and_verified(client: Client, build: Build) -> None:
    client.submit(build(PLAIN))
    assert client.run_at("r1", 3).state_hash == "sha256:12"
    assert client.verify("r1").matches


def test_values_that_the_declaration_does_not_allow_are_told_before_anything_is_sent(
    client: Client, world: World, build: Build
) -> None:
    workflow = build("""
from kaon import *
day, kind = param("day", "date"), param("kind", str, choices=["a", "b"], default="a")
n = param("n", int, default=1, check="value > 0")
w = Workflow("w", steps.shell("a", argv=["x"], day=day, kind=kind, n=n))
""")
    good = {"day": date(2026, 11, 24)}
    for params, message in (
        ({"day": "24.11."}, "'day' must be a date"),
        (good | {"kind": "c"}, '\'kind\' must be one of "a", "b", not "c"'),
        (good | {"n": 0}, "'n' is 0; it must fulfil value > 0"),
    ):
        with pytest.raises(InvalidValue, match=message):
            client.submit(workflow, params)
    assert not world.workflows
    assert client.submit(workflow, good).run.params_json["day"] == '"2026-11-24"'


def test_schedules_are_put_listed_paused_and_deleted(client: Client) -> None:
    nightly = schedule_pb2.Schedule(
        name="nightly", workflow="w", cron=schedule_pb2.Cron(expression="0 3 * * *")
    )
    assert client.schedules.put(nightly).created
    assert not client.schedules.put(nightly).created
    assert [each.name for each in client.schedules.list()] == ["nightly"]
    assert client.schedules.set_paused("nightly", paused=True).paused
    assert client.schedules.get("nightly").paused
    client.schedules.delete("nightly")
    with pytest.raises(NotFound, match="there is no schedule 'nightly'"):
        client.schedules.get("nightly")


def test_a_backfill_and_permits(client: Client, world: World) -> None:
    filled = client.schedules.backfill(
        "w", "day", date(2026, 1, 1), "2026-01-02", params={"n": 3}, max_active=2
    )
    assert ([run.run_id for run in filled.runs], filled.created) == (["b1", "b2"], 1)
    assert world.asked[-1] == schedule_pb2.BackfillRequest(
        workflow="w",
        parameter="day",
        first_date="2026-01-01",
        last_date="2026-01-02",
        every_days=1,
        params_json={"n": "3"},
        max_active=2,
    )
    client.schedules.set_permits("gpu", 2)
    assert [(each.tag, each.limit, each.taken) for each in client.schedules.permits()] == [
        ("gpu", 2, 1)
    ]


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


def test_a_gap_is_told_once_and_without_what_was_seen_before_the_stream_broke(
    client: Client, world: World, build: Build
) -> None:
    client.submit(build(PLAIN))
    after = lines("a", 1, 90, 91)
    after.gap.CopyFrom(log_pb2.LogGap(first_sequence=2, last_sequence=89))
    world.logs = [lines("a", 1, 1, 2, 3), after]
    world.breaks_after = [1]
    told = list(client.logs("r1", follow=True))
    assert [line.sequence for each in told for line in each.lines] == [1, 2, 3, 90, 91]
    assert [
        (each.gap.first_sequence, each.gap.last_sequence) for each in told if each.HasField("gap")
    ] == [(4, 89)]


def test_lines_that_the_runner_lost_are_told_to_a_follower_and_once(
    client: Client, world: World, build: Build
) -> None:
    client.submit(build(PLAIN))
    lost = [lines("a", 1), lines("a", 1, 9), lines("a", 1)]
    for record, dropped in zip(lost, (4, 3, 2), strict=True):
        record.dropped = dropped
    world.logs = [lines("a", 1, 1), *lost]
    world.breaks_after = [2, 3]
    told = list(client.logs("r1", follow=True))
    assert [each.dropped for each in told] == [0, 4, 3, 2]
    assert [line.sequence for each in told for line in each.lines] == [1, 9]


def test_a_whole_log_goes_on_where_its_stream_broke(
    client: Client, world: World, build: Build
) -> None:
    client.submit(build(PLAIN))
    world.whole_log = bytes(range(50))
    world.breaks_after = [0, 5, 1]
    assert b"".join(client.whole_log("r1", "a")) == world.whole_log
    # The attempt is held on to once it is known.
    assert [(each.offset, each.attempt) for each in world.whole_log_asked] == [
        (0, 0),
        (0, 3),
        (20, 3),
        (24, 3),
    ]


def test_a_log_that_is_replaced_while_it_is_read_is_not_mixed(
    client: Client, world: World, build: Build
) -> None:
    client.submit(build(PLAIN))
    world.whole_log, world.breaks_after = bytes(50), [5]
    pieces = client.whole_log("r1", "a")
    next(pieces)
    world.whole_log = bytes(49)
    with pytest.raises(Conflict, match="replaced while it was read"):
        list(pieces)


def announcement(cursor: int) -> model_pb2.Announcement:
    return model_pb2.Announcement(
        cursor=cursor, version=model_pb2.ModelVersion(model="m", version=cursor)
    )


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
