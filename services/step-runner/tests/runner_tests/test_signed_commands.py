"""A runner with the coordinators' public keys obeys nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from harness import MemorySystem, python, shell

from kaon_runner.transport.command_gate import CommandGate
from kaon_service.command_signatures import WINDOW_SECONDS, CommandSigner, CommandVerifier, now_us
from kaonapi.runner.v1 import runner_pb2

KEY = Ed25519PrivateKey.generate()
DRAIN = runner_pb2.RunnerCommand(drain=runner_pb2.DrainRunner(grace_ms=60_000))


class Closed(MemorySystem):
    """A runner that checks signatures, and what it has dropped."""

    def __init__(self, work: Path) -> None:
        self.dropped: list[None] = []
        verifier = CommandVerifier((KEY.public_key(),), pool="default")
        super().__init__(work, CommandGate(verifier, lambda: self.dropped.append(None)), slots=1)

    def told(
        self,
        incarnation: str = "",
        *,
        pool: str = "",
        key: Ed25519PrivateKey = KEY,
        late: float = 0,
    ) -> bytes:
        """A drain, signed so many seconds ago."""
        record = runner_pb2.RunnerCommands(
            incarnation=incarnation or self.runner.incarnation, commands=[DRAIN], pool=pool
        )
        return CommandSigner(key, lambda: now_us() - int(late * 1e6)).seal(record)


@pytest.fixture
def system(tmp_path: Path) -> Iterator[Closed]:
    with Closed(tmp_path / "work") as system:
        yield system


def test_a_forged_drain_changes_nothing(system: Closed) -> None:
    running = shell("sleep", "60")
    system.release(running)
    system.started(running.key)
    signed = system.told()
    record = runner_pb2.RunnerCommands(incarnation="*", commands=[DRAIN])
    forgeries = [
        record.SerializeToString(),
        system.told("*"),
        system.told(key=Ed25519PrivateKey.generate()),
        system.told(late=WINDOW_SECONDS + 5),
        system.told(late=-WINDOW_SECONDS - 5),
        # Signed, and then more was said.
        signed + record.SerializeToString(),
        record.SerializeToString() + signed,
        signed[:-1] + bytes([signed[-1] ^ 1]),
    ]
    for forged in forgeries:
        system.commanded(forged)
    # Meant for the runners of others.
    system.commanded(system.told("*", pool="gpu"))
    assert len(system.dropped) == len(forgeries)
    system.revoke(running.key, runner_pb2.REVOKE_REASON_CANCELLED)
    assert len(system.dropped) == len(forgeries) + 1
    assert system.of(running.key) == ["started"]
    assert not system.heartbeats[-1].draining


@pytest.mark.parametrize(("incarnation", "pool"), [("", ""), ("", "default"), ("*", "default")])
def test_a_drain_that_a_coordinator_has_signed_is_obeyed(
    system: Closed, incarnation: str, pool: str
) -> None:
    system.commanded(system.told(incarnation, pool=pool))
    late = python("nothing")
    system.release(late)
    assert system.final(late.key).handed_back.reason == "the runner is draining"
    assert not system.dropped
