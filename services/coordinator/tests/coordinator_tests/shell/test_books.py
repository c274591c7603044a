"""The books about time, and how sends are packed."""

from __future__ import annotations

from kaon_coordinator.engine.definition.compiled import compile_workflow
from kaon_coordinator.engine.issue import StepIssue
from kaon_coordinator.engine.messages import RetryDue
from kaon_coordinator.engine.state.state import RunState
from kaon_coordinator.shell.lease_book import LeaseBook, LeaseId
from kaon_coordinator.shell.outbox import RECORD_BYTES, Outbox
from kaon_coordinator.shell.partition import Partition
from kaon_coordinator.shell.timers import Timers
from kaon_coordinator.store.base import encode_event
from kaon_wire import topics
from kaon_wire.partitioning import partition_of
from kaonapi.run.v1 import history_pb2
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

LEASE = LeaseId(run_id="r", issue=StepIssue(path="s", attempt=1, generation=1))
OTHER = LeaseId(run_id="r", issue=StepIssue(path="t", attempt=1, generation=1))


def test_an_unrenewed_lease_becomes_overdue_and_stays_so_until_it_ends() -> None:
    book = LeaseBook(seconds=10)
    book.hold(LEASE, 0)
    assert book.overdue(9.9) == []
    assert book.overdue(10.1) == [LEASE]
    assert book.overdue(10.2) == [LEASE]
    book.end(LEASE)
    assert book.overdue(10.3) == []


def test_a_renewal_prolongs_only_what_is_held() -> None:
    book = LeaseBook(seconds=10)
    book.hold(LEASE, 0)
    assert book.renew(LEASE, 8)
    assert not book.renew(OTHER, 8)
    assert book.overdue(17) == []
    assert book.overdue(18.1) == [LEASE]


def test_nothing_expires_within_a_lease_of_silence_on_the_owners_side() -> None:
    book = LeaseBook(seconds=10)
    book.hold(LEASE, 0)
    book.deafen(9)
    assert book.overdue(18.9) == []
    assert not book.is_overdue(LEASE, 18.9)
    assert book.overdue(19.1) == [LEASE]


def test_messages_come_when_they_are_due_and_in_their_order() -> None:
    timers = Timers()
    late, early = (
        RetryDue(issue=StepIssue(path="late", attempt=1, generation=1)),
        RetryDue(issue=StepIssue(path="early", attempt=1, generation=1)),
    )
    timers.set(20, "r", late)
    timers.set(10, "r", early)
    assert timers.next_us() == 10
    assert timers.take_due(9) == []
    assert timers.take_due(20) == [("r", early), ("r", late)]


def catalogue() -> topics.Catalogue:
    return topics.Catalogue(run_partitions=2, runner_partitions=3)


def test_a_turn_notes_what_was_published_of_ended_runs_and_leaves_the_others_for_the_next_look() -> (
    None
):
    partition = Partition(number=0, epoch=1, leases=LeaseBook(seconds=10))
    partition.runs["open"] = RunState(
        run_id="open", workflow=compile_workflow(d.WorkflowDefinition(), "v1")
    )
    events = [
        encode_event(history_pb2.HistoryEvent(run_id=run_id, seq=seq))
        for run_id in ("open", "ended")
        for seq in (1, 2)
    ]
    partition.note_published(events)
    assert partition.take_published_of_ended() == {"ended": 2}
    assert partition.take_published_of_ended() == {}
    assert partition.take_published() == {"open": 2}
    assert partition.take_published() == {}


def test_commands_to_one_runner_share_a_record_in_its_partition() -> None:
    outbox = Outbox(catalogue())
    for _ in range(2):
        outbox.command("runner-1", [runner_pb2.RunnerCommand(drain=runner_pb2.DrainRunner())])
    (send,) = outbox.take()
    assert (send.topic, send.partition) == (topics.RUNNER_COMMANDS, partition_of("runner-1", 3))
    assert len(runner_pb2.RunnerCommands.FromString(send.value).commands) == 2
    assert outbox.take() == []


def test_a_command_to_every_runner_goes_to_every_partition() -> None:
    outbox = Outbox(catalogue())
    outbox.command_all("default", [runner_pb2.RunnerCommand(report=runner_pb2.ReportRunner())])
    assert [send.partition for send in outbox.take()] == [0, 1, 2]


def test_no_record_outgrows_the_broker_and_nothing_is_lost_in_the_split() -> None:
    outbox = Outbox(catalogue())
    spec = step_pb2.StepSpec(config_json="x" * 60_000)
    requests = [
        step_pb2.StepRequest(key=step_pb2.StepKey(path=str(n)), spec=spec) for n in range(50)
    ]
    ended = [step_pb2.StepEnded(key=step_pb2.StepKey(path="over"))]
    outbox.step_requests(step_pb2.StepRequests(pool="default", requests=requests, ended=ended))
    records = [step_pb2.StepRequests.FromString(send.value) for send in outbox.take()]
    assert len(records) > 1
    assert all(record.ByteSize() < RECORD_BYTES + 70_000 for record in records)
    assert [request.key.path for record in records for request in record.requests] == [
        str(n) for n in range(50)
    ]
    assert [len(record.ended) for record in records] == [1] + [0] * (len(records) - 1)


def test_history_leaves_in_order_in_records_of_bounded_size() -> None:
    outbox = Outbox(catalogue())
    submitted = history_pb2.RunSubmitted(params_json={"p": "x" * 100_000})
    events = [history_pb2.HistoryEvent(seq=n, run_submitted=submitted) for n in range(1, 13)]
    outbox.history(1, (event.SerializeToString() for event in events))
    sends = outbox.take()
    assert {(send.topic, send.partition) for send in sends} == {(topics.RUN_EVENTS, 1)}
    seqs = [
        event.seq for send in sends for event in history_pb2.RunEvents.FromString(send.value).events
    ]
    assert len(sends) > 1
    assert seqs == list(range(1, 13))


def test_what_a_turn_tells_a_matcher_is_one_record_if_it_fits() -> None:
    outbox, key = Outbox(catalogue()), step_pb2.StepKey(path="a")
    record = step_pb2.StepRequests(
        pool="default",
        partition=1,
        epoch=4,
        answers_pool_epoch=2,
        held=[step_pb2.StepHeld(key=key)],
        ended=[step_pb2.StepEnded(key=key)],
        requests=[_request("")],
    )
    outbox.step_requests(record)
    assert [step_pb2.StepRequests.FromString(each.value) for each in outbox.take()] == [record]


def test_held_steps_with_long_offers_are_split_like_requests() -> None:
    outbox = Outbox(catalogue())
    successor = step_pb2.Successor(request=_request("x" * 60_000))
    chain = step_pb2.ChainExtension(successors=[successor]).SerializeToString()
    held = [step_pb2.StepHeld(key=step_pb2.StepKey(path=str(n)), chain=chain) for n in range(20)]
    record = step_pb2.StepRequests(
        pool="default", partition=1, epoch=4, held=held, requests=[_request("")]
    )
    outbox.step_requests(record)
    records = [step_pb2.StepRequests.FromString(send.value) for send in outbox.take()]
    assert all(each.ByteSize() < RECORD_BYTES + 70_000 for each in records)
    assert {(each.pool, each.partition, each.epoch) for each in records} == {("default", 1, 4)}
    assert [each.key.path for record in records for each in record.held] == [
        str(n) for n in range(20)
    ]
    assert sum(len(each.requests) for each in records) == 1


def _request(config: str) -> step_pb2.StepRequest:
    return step_pb2.StepRequest(spec=step_pb2.StepSpec(config_json=config))


def test_an_extension_goes_to_its_runner_by_the_topic_of_its_pool_which_other_pools_do_not_read() -> (
    None
):
    outbox = Outbox(catalogue())
    extension = step_pb2.ChainExtension(key=step_pb2.StepKey(path="b"))
    outbox.extension("gpu", 7, "runner-1", extension.SerializeToString())
    (send,) = outbox.take()
    assert (send.topic, send.partition) == (topics.step_ready("gpu"), partition_of("runner-1", 3))
    record = step_pb2.StepReleases.FromString(send.value)
    assert (record.pool, record.incarnation, record.pool_epoch) == ("gpu", "runner-1", 7)
    assert list(record.extensions) == [extension]
