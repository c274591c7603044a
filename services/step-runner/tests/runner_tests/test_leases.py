"""Which releases are taken up, and what is renewed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kaon_runner.leases.table import LeaseTable, Phase, Verdict
from kaonapi.step.v1 import step_pb2


def release(
    path: str = "a", generation: int = 1, *, partition: int = 0, epoch: int = 1
) -> step_pb2.StepRequest:
    key = step_pb2.StepKey(run_id="r", path=path, attempt=1, generation=generation)
    return step_pb2.StepRequest(key=key, partition=partition, epoch=epoch)


def test_a_release_is_accepted_once() -> None:
    table = LeaseTable()
    assert table.offer(release())[0] is Verdict.ACCEPTED
    assert table.offer(release())[0] is Verdict.DUPLICATE


def test_a_release_that_comes_again_after_its_end_is_handed_back_because_its_end_may_be_lost() -> (
    None
):
    table = LeaseTable()
    table.offer(release(generation=1))
    table.end(release(generation=1).key)
    assert table.offer(release(generation=1))[0] is Verdict.OVER
    assert table.offer(release(generation=0))[0] is Verdict.DUPLICATE
    assert table.offer(release(generation=2))[0] is Verdict.ACCEPTED


def test_a_higher_generation_supersedes_a_lower_one() -> None:
    table = LeaseTable()
    table.offer(release(generation=1))
    verdict, superseded = table.offer(release(generation=3))
    assert verdict is Verdict.ACCEPTED
    assert superseded is not None
    assert superseded.key.generation == 1
    assert table.offer(release(generation=2))[0] is Verdict.DUPLICATE
    assert table.find(release(generation=1).key) is None


def test_the_end_of_a_superseded_lease_does_not_end_its_successor() -> None:
    table = LeaseTable()
    table.offer(release(generation=1))
    table.offer(release(generation=2))
    table.end(release(generation=1).key)
    assert table.find(release(generation=2).key) is not None


def test_a_release_whose_revoke_came_first_is_not_taken_up() -> None:
    table = LeaseTable()
    table.end(release(generation=4).key)
    assert table.offer(release(generation=4))[0] is Verdict.OVER
    assert table.offer(release(generation=5))[0] is Verdict.ACCEPTED


def test_a_release_of_a_succeeded_owner_is_refused_by_its_epoch() -> None:
    table = LeaseTable()
    assert table.note_epoch(0, 7)
    assert table.offer(release(epoch=6))[0] is Verdict.STALE_EPOCH
    assert table.offer(release(epoch=6, partition=1))[0] is Verdict.ACCEPTED
    assert not table.note_epoch(0, 6)


def test_what_is_here_is_not_refused_when_its_old_release_comes_again_after_a_change_of_owner() -> (
    None
):
    table = LeaseTable()
    _, _ = table.offer(release(generation=2, epoch=6))
    assert table.note_epoch(0, 7)
    assert table.offer(release(generation=2, epoch=6))[0] is Verdict.DUPLICATE
    assert table.offer(release(generation=1, epoch=6))[0] is Verdict.DUPLICATE
    assert table.offer(release(generation=3, epoch=6))[0] is Verdict.STALE_EPOCH


def test_renewals_name_every_lease_by_partition() -> None:
    table = LeaseTable()
    table.offer(release("a"))
    table.offer(release("b"))
    table.offer(release("c", partition=1))
    lease = table.find(release("a").key)
    assert lease is not None
    table.hold(lease)
    renewals = table.renewals()
    assert [key.path for key in renewals[0].held] == ["a"]
    assert [key.path for key in renewals[0].queued] == ["b"]
    assert [key.path for key in renewals[1].queued] == ["c"]


def test_ended_leases_are_remembered_up_to_a_bound() -> None:
    table = LeaseTable(remembered=2)
    for path in "abc":
        table.end(release(path).key)
    assert table.offer(release("a"))[0] is Verdict.ACCEPTED
    assert table.offer(release("c"))[0] is Verdict.OVER


@given(st.lists(st.tuples(st.sampled_from(["offer", "end"]), st.integers(1, 5)), max_size=30))
def test_no_generation_is_accepted_twice_and_accepted_ones_only_rise(
    moves: list[tuple[str, int]],
) -> None:
    table, accepted = LeaseTable(), []
    for move, generation in moves:
        if move == "end":
            table.end(release(generation=generation).key)
        elif table.offer(release(generation=generation))[0] is Verdict.ACCEPTED:
            accepted.append(generation)
    assert accepted == sorted(set(accepted))
    assert len(table.keys(Phase.QUEUED)) <= 1
