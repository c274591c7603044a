"""What waits in a worker's socket can be taken back, while the worker takes from it too."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from kaon.step import packets
from kaon.step.packets import PACKET_BYTES
from kaon_runner.execution.in_worker import InWorker
from kaon_runner.leases.slots import Amount
from kaon_runner.logs.step_log import StepLog
from kaon_runner.logs.store import LogStore
from kaon_runner.steptypes.base import WorkerSpec
from kaon_runner.supervision.child import Bounds
from kaon_runner.workers.pool import WorkerPool
from kaon_runner.workers.process import Requeued, WarmWorker, WorkerTask
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2


class Racing:
    """The worker's end of the socket, from which the worker receives whenever the runner has received something."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self.worker_got: list[int] = []

    def recv(self, size: int, flags: int = 0) -> bytes:
        packet = self._end.recv(size, flags)
        if not self.worker_got:
            self.worker_got.append(json.loads(self._end.recv(size, flags))["id"])
        return packet

    def close(self) -> None:
        self._end.close()


def task(directory: Path, context: str = "{}") -> WorkerTask:
    key = step_pb2.StepKey(run_id="run", path="step")
    return WorkerTask(
        target="module:function",
        whole=False,
        context=context,
        log=StepLog(key, LogStore(directory, "log", 1000), lambda lines: True),
        lane=("python",),
        wanted=Amount(slots=1),
        bounds=Bounds(),
        claim=None,
        on_started=lambda: None,
        on_event=lambda message: None,
        outcome=asyncio.get_running_loop().create_future(),
    )


def worker(directory: Path) -> WarmWorker:
    pool = WorkerPool(
        directory=directory,
        worker_steps=100,
        worker_memory_bytes=0,
        prefetch=4,
        idle_limit=2,
        idle_seconds=60.0,
        deadline_seconds=60.0,
    )
    return WarmWorker(WorkerSpec(key="python/", python="python"), Bounds(), pool)


async def test_what_the_worker_receives_meanwhile_stays_its_own(tmp_path: Path) -> None:
    warm = worker(tmp_path)
    tasks = [task(tmp_path) for _ in range(4)]
    for each in tasks:
        warm.submit(each)
    racing = Racing(warm.channel.peer)
    assert json.loads(warm.channel.peer.recv(PACKET_BYTES))["id"] == tasks[0].id
    warm.channel.peer = racing  # type: ignore[assignment]
    back = warm.take_back()
    assert racing.worker_got == [tasks[2].id]
    assert [each.id for each in back] == [tasks[1].id, tasks[3].id]
    assert [each.id for each in warm.tasks] == [tasks[0].id, tasks[2].id]
    warm.discard()


async def test_a_request_too_large_for_a_packet_is_taken_back_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    warm = worker(tmp_path)
    large = task(tmp_path, json.dumps({"text": "x" * 2 * PACKET_BYTES}))
    before = len(os.listdir("/proc/self/fd"))
    warm.submit(large)
    assert warm.take_back() == [large]
    assert len(os.listdir("/proc/self/fd")) == before
    warm.discard()


async def test_what_is_asked_of_a_worker_whose_process_is_gone_harms_nobody(tmp_path: Path) -> None:
    warm = worker(tmp_path)
    stopped = task(tmp_path)
    place = InWorker(warm._owner, claim=None, behind=None)  # type: ignore[arg-type]
    place._task = stopped
    warm.submit(stopped)
    warm.discard()
    # The runner revokes, withdraws and signals the step before its execution has heard of the end.
    place.stop()
    assert not place.withdraw()
    place.signal(runner_pb2.SignalStep(name="go", signal_seq=1))
    assert warm.take_back() == []
    with pytest.raises(Requeued):
        warm.submit(task(tmp_path))


@pytest.mark.parametrize("path", ["secret", "pipe"])
async def test_a_worker_cannot_make_the_runner_read_or_delete_a_file(
    tmp_path: Path, path: str
) -> None:
    warm = worker(tmp_path)
    told: list[object] = []
    running = task(tmp_path)
    running.on_event = told.append
    warm.submit(running)
    (tmp_path / "secret").write_text(json.dumps({"id": 1, "kind": "progress", "message": "told"}))
    os.mkfifo(tmp_path / "pipe")
    warm.channel.own.setblocking(False)
    warm.channel.peer.send(
        json.dumps({"id": 1, "kind": "file", "path": str(tmp_path / path)}).encode()
    )
    with (tmp_path / "secret").open() as secret:
        socket.send_fds(warm.channel.peer, [b'{"id":1,"beside":true}'], [secret.fileno()])
    end, other = os.pipe()
    socket.send_fds(warm.channel.peer, [b"{}"], [end])
    warm.channel.peer.send(b"[" * 50_000)
    warm.channel.peer.send(b"\xff")
    warm.read()
    for each in (end, other):
        os.close(each)
    assert (tmp_path / path).exists()
    # What the worker itself has opened it may say.
    assert [event for event in told if event["kind"] == "progress"] == [  # type: ignore[index]
        {"id": 1, "kind": "progress", "message": "told"}
    ]
    warm.discard()


async def test_a_late_message_is_logged_with_its_step(tmp_path: Path) -> None:
    warm = worker(tmp_path)
    ended = task(tmp_path)
    warm.submit(ended)
    warm.channel.own.setblocking(False)
    for message in ({"id": 1, "kind": "succeeded", "outputs": {}}, {"id": 1, "kind": "progress"}):
        warm.channel.peer.send(json.dumps(message).encode())
    with capture_logs() as told:
        warm.read()
    assert told == [
        {
            "event": "late message from worker for finished step ignored",
            "log_level": "warning",
            "run": "run",
            "step": "step",
            "attempt": 0,
            "generation": 0,
        }
    ]
    warm.discard()


async def test_a_document_of_any_size_passes_whole_and_one_too_large_is_refused() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        for size in (1, PACKET_BYTES, PACKET_BYTES + 1, 8 << 20):
            packets.send(ours, b"x" * size)
            assert len(packets.receive(theirs)) == size
        with pytest.raises(packets.TooLarge):
            packets.send(ours, bytes(packets.DOCUMENT_BYTES + 1))


async def test_a_step_for_which_a_socket_has_no_room_goes_elsewhere(tmp_path: Path) -> None:
    warm = worker(tmp_path)
    warm.channel.own.setblocking(False)
    large = json.dumps({"text": "x" * (PACKET_BYTES - 1000)})
    with contextlib.suppress(BlockingIOError):
        while True:
            warm.channel.own.send(large.encode())
    last = task(tmp_path, large)
    with pytest.raises(Requeued):
        warm.submit(last)
    assert last.worker is None
    assert last not in warm.tasks
    warm.discard()
