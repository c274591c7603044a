from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kaon_service.command_signatures import CommandSigner, CommandVerifier
from kaon_wire.errors import InvalidValue
from kaonapi.runner.v1 import runner_pb2

RECORD = runner_pb2.RunnerCommands(incarnation="runner-1")


def private_file(directory: Path, key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> str:
    pem = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
    (directory / "private.pem").write_bytes(pem)
    return str(directory / "private.pem")


def public_file(directory: Path, *keys: Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> str:
    pems = [
        key.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)
        for key in keys
    ]
    (directory / "public.pem").write_bytes(b"".join(pems))
    return str(directory / "public.pem")


def verifier(directory: Path, *keys: Ed25519PrivateKey) -> CommandVerifier:
    environment = {"KAON_COMMAND_PUBLIC_KEYS": public_file(directory, *keys)}
    read = CommandVerifier.read(environment, pool="default")
    assert read is not None
    return read


def test_keys_rotate(tmp_path: Path) -> None:
    old, new = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    both, later = verifier(tmp_path, new, old), verifier(tmp_path, new)
    signer = CommandSigner.read({"KAON_COMMAND_KEY": private_file(tmp_path, old)})
    assert signer is not None
    value = signer.seal(RECORD)
    sealed = runner_pb2.RunnerCommands.FromString(value)
    assert both.problem(value, sealed) == ""
    assert later.problem(value, sealed) == "no coordinator has signed it"


def test_no_byte_of_a_signed_record_can_change(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    checks = verifier(tmp_path, key)
    value = CommandSigner(key).seal(RECORD)
    for place in range(len(value)):
        changed = value[:place] + bytes([value[place] ^ 1]) + value[place + 1 :]
        assert checks.problem(changed, RECORD)
    for short in range(len(value)):
        assert checks.problem(value[:short], RECORD)


def test_without_variables_nothing_is_signed_or_checked() -> None:
    assert CommandSigner.read({}) is None
    assert CommandVerifier.read({}, pool="default") is None


def test_a_file_that_holds_no_key_of_the_kind_is_named(tmp_path: Path) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    ours = Ed25519PrivateKey.generate()
    empty = tmp_path / "empty"
    empty.write_text("")
    for path in (private_file(tmp_path, other), public_file(tmp_path, ours), str(empty)):
        with pytest.raises(InvalidValue, match=f"KAON_COMMAND_KEY: {path} is no Ed25519"):
            CommandSigner.read({"KAON_COMMAND_KEY": path})
    for path in (public_file(tmp_path, other, ours), private_file(tmp_path, ours), str(empty)):
        with pytest.raises(InvalidValue, match=f"KAON_COMMAND_PUBLIC_KEYS: {path} holds no"):
            CommandVerifier.read({"KAON_COMMAND_PUBLIC_KEYS": path}, pool="default")
    with pytest.raises(InvalidValue, match=r"KAON_COMMAND_KEY: .* cannot be read"):
        CommandSigner.read({"KAON_COMMAND_KEY": str(tmp_path / "nowhere")})
