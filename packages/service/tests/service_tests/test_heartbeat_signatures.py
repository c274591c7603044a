"""A heartbeat counts for the runner that has signed it, in the pool whose key that runner has, for some minutes."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from kaon_service import heartbeat_signatures
from kaon_service.command_signatures import WINDOW_SECONDS
from kaon_service.heartbeat_signatures import HeartbeatSigner, HeartbeatVerifier
from kaon_wire.errors import InvalidValue
from kaonapi.runner.v1 import runner_pb2

NOW_US = 1_000_000_000_000
KEYS = {"cpu": (b"c" * 32,), "gpu": (b"new" * 11, b"g" * 32)}


def signer(pool: str = "gpu", key: bytes = b"g" * 32) -> HeartbeatSigner:
    return HeartbeatSigner(key, pool=pool)


def beat(
    by: HeartbeatSigner, name: str = "", pool: str = "gpu", late: float = 0
) -> runner_pb2.RunnerHeartbeat:
    return runner_pb2.RunnerHeartbeat(
        pool=pool,
        runner_id="host",
        incarnation=f"host-{name or by.name}",
        labels={"a": "1", "b": "2"},
        time_us=NOW_US - int(late * 1e6),
    )


def problem(value: bytes) -> str:
    verifier = HeartbeatVerifier(lambda: KEYS, lambda: NOW_US)
    return verifier.problem(value, runner_pb2.RunnerHeartbeat.FromString(value))


def test_a_runners_own_heartbeat_counts() -> None:
    own = signer()
    assert problem(own.seal(beat(own))) == ""
    # Both keys of the pool do, while they rotate.
    other = signer(key=b"new" * 11)
    assert problem(other.seal(beat(other))) == ""
    assert own.name != other.name


def _unsigned() -> bytes:
    return beat(signer()).SerializeToString()


def _of_another() -> bytes:
    """A stolen runner speaks for another one of its pool."""
    return signer().seal(beat(signer(), name=signer().name))


def _with_its_name_changed() -> bytes:
    """It takes the other's public key and proof, which everybody has read, and signs by its own key."""
    victim, thief = signer(), signer()
    said = runner_pb2.RunnerHeartbeat.FromString(victim.seal(beat(victim)))
    stolen = (said.public_key, said.pool_proof)
    thief._public, thief._proof = stolen
    return thief.seal(beat(victim))


def _for_another_pool() -> bytes:
    """A stolen runner of pool cpu says that it is one of pool gpu."""
    thief = signer("cpu", b"c" * 32)
    return thief.seal(beat(thief))


def _with_another_pools_key() -> bytes:
    thief = signer("gpu", b"c" * 32)
    return thief.seal(beat(thief))


def _of_an_unknown_pool() -> bytes:
    thief = signer("other")
    return thief.seal(beat(thief, pool="other"))


def _changed() -> bytes:
    own = signer()
    return own.seal(beat(own)).replace(b"host", b"most", 1)


def _old() -> bytes:
    own = signer()
    return own.seal(beat(own, late=WINDOW_SECONDS + 1))


def _of_the_future() -> bytes:
    own = signer()
    return own.seal(beat(own, late=-WINDOW_SECONDS - 1))


FORGERIES = {
    _unsigned: "it is not signed",
    _of_another: "its key is another incarnation's",
    _with_its_name_changed: "its signature is wrong",
    _for_another_pool: "its key is none of pool 'gpu'",
    _with_another_pools_key: "its key is none of pool 'gpu'",
    _of_an_unknown_pool: "its key is none of pool 'other'",
    _changed: "its signature is wrong",
    _old: "it was sent 301 s ago",
    _of_the_future: "it was sent -301 s ago",
}


@pytest.mark.parametrize("forge", FORGERIES)
def test_no_other_heartbeat_does(forge: Callable[[], bytes]) -> None:
    assert FORGERIES[forge] in problem(forge())


MUTANTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "names are not compared": lambda patch: patch.setattr(
        heartbeat_signatures, "_is_named_after", lambda *_: True
    ),
    "pools are not proven": lambda patch: patch.setattr(
        HeartbeatVerifier, "_of_pool", lambda *_: True
    ),
    "signatures are not checked": lambda patch: patch.setattr(
        heartbeat_signatures, "is_signed", lambda *_: True
    ),
    "age is not looked at": lambda patch: patch.setattr(
        heartbeat_signatures, "WINDOW_SECONDS", 10**9
    ),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_each_check_is_needed(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one of the checks, one of the forgeries counts."""
    forged = [forge() for forge in FORGERIES]
    MUTANTS[mutant](monkeypatch)
    assert any(problem(value) == "" for value in forged)


def test_a_broken_public_key_is_refused_and_raises_nothing() -> None:
    own = signer()
    for length in (0, 31, 33):
        own._public = b"\0" * length
        assert problem(own.seal(beat(own))) == "it is not signed"
    own._public = b"\xff" * 32
    Ed25519PublicKey.from_public_bytes(own._public)
    assert problem(own.seal(beat(own))) == "its key is another incarnation's"


def test_keys_are_read_from_files_and_problems_name_the_line(tmp_path: Path) -> None:
    text = base64.b64encode(b"g" * 32).decode()
    key, keys = tmp_path / "key", tmp_path / "keys"
    key.write_text(f"{text}\n")
    keys.write_text(f"# pools\ngpu {text}\n")
    own = HeartbeatSigner.read({"KAON_POOL_KEY": str(key)}, pool="gpu")
    verifier = HeartbeatVerifier.read({"KAON_POOL_KEYS": str(keys)})
    assert own is not None
    assert verifier is not None
    value = own.seal(beat(own))
    verifier._clock = lambda: NOW_US
    assert verifier.problem(value, runner_pb2.RunnerHeartbeat.FromString(value)) == ""
    for wrong, message in (
        (text, "line 1 of .* is not a name, a space and a key"),
        ("gpu x x", "line 1 of"),
        (f"gpu {text}\ncpu x!", "line 2 of .* is not base64"),
        ("", "holds no line"),
    ):
        keys.write_text(wrong)
        with pytest.raises(InvalidValue, match=f"KAON_POOL_KEYS: .*{message}"):
            HeartbeatVerifier.read({"KAON_POOL_KEYS": str(keys)})
    with pytest.raises(InvalidValue, match=r"KAON_POOL_KEY: .* cannot be read"):
        HeartbeatSigner.read({"KAON_POOL_KEY": str(tmp_path / "nowhere")}, pool="gpu")


def test_keys_of_pools_rotate_while_a_coordinator_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat_signatures, "OFTEN_SECONDS", 0.0)
    first, second, keys = b"f" * 32, b"s" * 32, tmp_path / "keys"

    def told(*lines: bytes) -> None:
        keys.write_text("".join(f"gpu {base64.b64encode(each).decode()}\n" for each in lines))

    told(first)
    verifier = HeartbeatVerifier.read({"KAON_POOL_KEYS": str(keys)})
    assert verifier is not None
    verifier._clock = lambda: NOW_US

    def counts(key: bytes) -> bool:
        own = signer(key=key)
        value = own.seal(beat(own))
        return not verifier.problem(value, runner_pb2.RunnerHeartbeat.FromString(value))

    assert (counts(first), counts(second)) == (True, False)
    told(first, second)
    assert (counts(first), counts(second)) == (True, True)
    keys.write_text("half a line")
    assert (counts(first), counts(second)) == (True, True)
    told(second)
    assert (counts(first), counts(second)) == (False, True)


def test_without_variables_nothing_is_signed_or_checked() -> None:
    assert HeartbeatSigner.read({}, pool="gpu") is None
    assert HeartbeatVerifier.read({}) is None
