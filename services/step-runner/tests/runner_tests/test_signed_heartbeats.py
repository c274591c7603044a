"""A runner with the key of its pool signs every heartbeat, the last one too."""

from __future__ import annotations

from pathlib import Path

from harness import MemorySystem

from kaon_service.heartbeat_signatures import HeartbeatSigner, HeartbeatVerifier

KEY = b"k" * 32


def test_every_heartbeat_of_a_runner_counts(tmp_path: Path) -> None:
    signer = HeartbeatSigner(KEY, pool="default")
    with MemorySystem(tmp_path / "work", signer=signer) as system:
        assert system.runner.incarnation == f"runner-a-{signer.name}"
        system.wait(lambda: system.heartbeats)
        system.runner.stop(0.1)
        system.wait(lambda: system.heartbeats[-1].leaving)
    verifier = HeartbeatVerifier(lambda: {"default": (KEY,)})
    heard = list(zip(system.beats, system.heartbeats, strict=True))
    assert len(heard) >= 2
    assert [verifier.problem(value, said) for value, said in heard] == [""] * len(heard)
