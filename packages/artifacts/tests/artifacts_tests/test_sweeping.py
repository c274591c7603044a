"""What nobody needs goes, and nothing that somebody needs, whatever happens at the same time."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from kaon_artifacts import Artifact, ArtifactMissing, ArtifactStore, Sweeper, marks, times
from kaon_wire.errors import InvalidValue

DAY = 86_400.0


def value(artifact: Artifact) -> str:
    return artifact.digest.removeprefix("sha256:")


def age(kept_in: ArtifactStore, seconds: float, files: Path | None = None) -> None:
    """Makes everything in a store older. `files` is where an S3 server has its buckets: S3 itself cannot do it."""
    fs = kept_in.fs
    for path in fs.find(kept_in.root):
        then = times.written_at(fs.info(path)) - seconds
        if files is not None:
            os.utime(files / path, (then, then))
        elif kept_in.base_url.startswith("file:"):
            os.utime(path, (then, then))
        else:
            fs._call("SETTIMES", method="put", path=path, modificationtime=int(then * 1000))


@pytest.fixture
def later(store: ArtifactStore, request: pytest.FixtureRequest) -> Callable[[float], None]:
    """Lets time pass for everything that lies in the store by now."""
    files = None
    if store.base_url.startswith("s3:"):
        files = request.getfixturevalue("object_store").state / "buckets"
    return lambda seconds: age(store, seconds, files)


def sweeper(kept_in: ArtifactStore, name: str = "me", days: float = 7) -> Sweeper:
    return Sweeper(kept_in, name, days * DAY)


def test_what_is_old_and_needed_by_nobody_goes(
    store: ArtifactStore, later: Callable[[float], None]
) -> None:
    needed, pinned, lost = (store.put_bytes(data) for data in (b"needed", b"pinned", b"lost!"))
    store.pin(pinned)
    later(6 * DAY)
    assert sweeper(store).sweep({value(needed)}).deleted == 0
    later(2 * DAY)
    swept = sweeper(store).sweep({value(needed)}, dry_run=True)
    assert (swept.deleted, swept.deleted_bytes, swept.kept) == (1, 5, 2)
    assert store.exists(lost)
    swept = sweeper(store).sweep({value(needed)})
    assert (swept.deleted, swept.deleted_bytes, swept.kept, swept.kept_bytes) == (1, 5, 2, 12)
    assert [store.exists(each) for each in (needed, pinned, lost)] == [True, True, False]


def test_what_is_taken_anew_is_young_again(
    store: ArtifactStore, later: Callable[[float], None]
) -> None:
    renewed, rewritten = store.put_bytes(b"renewed"), store.put_bytes(b"rewritten")
    later(8 * DAY)
    store.renew(renewed)
    store.put_bytes(b"rewritten")
    assert sweeper(store).sweep(set()).deleted == 0
    for artifact, data in ((renewed, b"renewed"), (rewritten, b"rewritten")):
        with store.open(artifact) as content:
            assert content.read() == data


def test_nothing_remains_of_a_suspicion_when_the_artifact_is_gone(
    store: ArtifactStore, later: Callable[[float], None]
) -> None:
    artifact = store.put_bytes(b"damaged")
    store.marks.suspect(value(artifact))
    later(8 * DAY)
    assert sweeper(store).sweep(set()).deleted == 1
    assert store.put_bytes(b"damaged") == artifact
    store.renew(artifact)


@pytest.mark.parametrize("damage", ["suspect", "cut short"])
def test_what_is_written_over_something_damaged_outlasts_a_sweep_that_had_seen_that(
    local_store: ArtifactStore, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = local_store.put_bytes(b"good")
    if damage == "suspect":
        local_store.marks.suspect(value(artifact))
    else:
        Path(local_store.path_of(value(artifact))).write_bytes(b"g")
    await_undisturbed = local_store.marks.await_undisturbed

    def deleted_meanwhile(digits: str) -> None:
        local_store.fs.rm_file(local_store.path_of(digits))
        await_undisturbed(digits)

    monkeypatch.setattr(local_store.marks, "await_undisturbed", deleted_meanwhile)
    local_store.put_bytes(b"good")
    with local_store.open(artifact) as content:
        assert content.read() == b"good"


def test_what_is_gone_cannot_be_renewed_or_pinned(store: ArtifactStore) -> None:
    absent = store.by_digest("sha256:" + "0" * 64)
    for call in (store.renew, store.pin):
        with pytest.raises(ArtifactMissing):
            call(absent)


class Interrupted:
    """The file system, with something that happens just before one of its calls for the first time."""

    def __init__(self, fs: Any, call: str, action: Callable[[], None]) -> None:
        self._fs, self._call, self._action = fs, call, action
        self._done = False

    def __getattr__(self, name: str) -> Any:
        if name == self._call and not self._done:
            self._done = True
            self._action()
        return getattr(self._fs, name)


# The calls of a sweep, after each of which somebody may take the artifact anew.
@pytest.mark.parametrize("call", ["ls", "makedirs", "info", "rm_file"])
@pytest.mark.parametrize("how", ["put", "renew"])
def test_an_artifact_that_is_taken_anew_at_any_moment_of_a_sweep_is_there_afterwards(
    local_store: ArtifactStore, call: str, how: str
) -> None:
    content = b"taken anew"
    artifact = local_store.put_bytes(content)
    age(local_store, 8 * DAY)
    other = ArtifactStore(local_store.base_url)
    outcome: list[str] = []

    def take() -> None:
        try:
            if how == "put":
                other.put_bytes(content)
            else:
                other.renew(artifact)
            outcome.append("taken")
        except ArtifactMissing:
            outcome.append("told that it is missing")

    taker = threading.Thread(target=take)
    # As far as it comes: before the deletion it waits for the sweeper's mark to go.
    meanwhile = Interrupted(
        local_store.fs, call, lambda: (taker.start(), taker.join(0.3), None)[-1]
    )
    local_store._fs = meanwhile
    local_store.marks._fs = meanwhile
    sweeper(local_store).sweep(set())
    taker.join(20)
    assert not taker.is_alive()
    if outcome == ["taken"]:
        assert other.exists(artifact)
    else:
        assert how == "renew"
        assert call in {"info", "rm_file"}


def test_without_the_mark_that_race_is_lost(
    local_store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mark is what makes the test above pass."""
    artifact = local_store.put_bytes(b"x")
    age(local_store, 8 * DAY)
    other = ArtifactStore(local_store.base_url)
    monkeypatch.setattr(marks.Marks, "await_undisturbed", lambda self, value: None)

    def take() -> None:
        other.put_bytes(b"x")

    local_store._fs = Interrupted(local_store.fs, "rm_file", take)
    sweeper(local_store).sweep(set())
    assert not other.exists(artifact)


def test_sweepers_and_writers_that_race_for_long_lose_nothing(
    local_store: ArtifactStore,
) -> None:
    contents = [f"content {number}".encode() for number in range(20)]
    for data in contents:
        local_store.put_bytes(data)
    missing: list[bytes] = []
    swept: list[str] = []
    stop = threading.Event()
    # Time does not pass between a writer's keeping something and its looking, nor in the middle of a sweep: the grace is longer
    # than the one, and a sweeper whose mark has grown old deletes no more.
    busy = [threading.Lock() for _ in range(5)]

    def write(number: int) -> None:
        mine = ArtifactStore(local_store.base_url)
        for turn in itertools.count():
            # However slow the sweepers are: there is no race before they have deleted something.
            if turn >= 40 and swept:
                return
            data = contents[(number * 7 + turn) % len(contents)]
            with busy[number]:
                if not mine.exists(mine.put_bytes(data)):
                    missing.append(data)

    def grow_older() -> None:
        with contextlib.ExitStack() as nobody:
            for lock in busy:
                nobody.enter_context(lock)
            age(local_store, 8 * DAY)

    def sweep(number: int) -> None:
        name = f"sweeper {number}"
        while not stop.is_set():
            grow_older()
            with busy[number]:
                if sweeper(ArtifactStore(local_store.base_url), name).sweep(set()).deleted:
                    swept.append(name)
            stop.wait(0.01)

    with ThreadPoolExecutor(5) as pool:
        sweeps = [pool.submit(sweep, number) for number in (3, 4)]
        try:
            for writing in [pool.submit(write, number) for number in range(3)]:
                writing.result(60)
        finally:
            stop.set()
        for sweeping in sweeps:
            sweeping.result(60)
    assert missing == []


def test_a_sweeper_that_died_stands_in_nobodys_way_for_ever(
    local_store: ArtifactStore,
) -> None:
    artifact = local_store.put_bytes(b"x")
    age(local_store, 8 * DAY)
    with pytest.raises(OSError, match="dies"), local_store.marks.deleting(value(artifact), "dead"):
        raise OSError("it dies")
    age(local_store, marks.MARK_SECONDS)
    local_store.renew(artifact)
    assert sweeper(local_store).due(DAY)
    assert local_store.fs.ls(f"{local_store.root}/deleting") == []


def test_one_of_many_sweeps_and_the_others_see_it(
    store: ArtifactStore, later: Callable[[float], None]
) -> None:
    assert sweeper(store, "one").due(DAY)
    assert not sweeper(store, "two").due(DAY)
    later(DAY + 60)
    assert sweeper(store, "two").due(DAY)


def test_a_grace_too_short_for_a_step_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="at least 1 days"):
        Sweeper(ArtifactStore(tmp_path.as_uri()), "me", 3600)
