"""`kaon audit verify` finds out whether an exported log is what was written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kaon.cli.main import execute
from kaon_wire.audit import exported
from kaon_wire.audit.rows import START, AuditCall, Head, SignedHead, chained, statement


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Export three rows, with a signed head after the second, and the key beside it."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (tmp_path / "key.pem").write_bytes(public)
    calls = [
        AuditCall(
            time_us=number,
            tenant="red",
            principal="ada",
            authentication="token",
            method="kaonapi.run.v1.RunService/CancelRun",
            named=f"run_id=r{number}",
            outcome="OK",
            request_digest="",
        )
        for number in range(3)
    ]
    rows = list(chained(START, calls))
    head = Head(seq=2, digest=rows[1].digest)
    signed = SignedHead(head=head, time_us=9, signature=key.sign(statement(head, 9)))
    lines = [exported.base_line(START), exported.head_line(signed), *map(exported.row_line, rows)]
    path = tmp_path / "audit.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def verify(log: Path) -> int:
    return execute(["audit", "verify", str(log), "--key", str(log.with_name("key.pem"))])


def test_an_untouched_log_is_verified(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(log) == 0
    assert "3 rows follow one another up to row 3; signatures cover it up to row 2" in " ".join(
        capsys.readouterr().out.split()
    )


def test_a_changed_row_is_told(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log.write_text(log.read_text().replace("run_id=r1", "run_id=r9"))
    assert verify(log) == 1
    assert "row 2 was changed" in capsys.readouterr().err


def test_a_head_of_another_key_is_told(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    lines[1]["head"]["signature"] = "00" * 64
    log.write_text("".join(json.dumps(each) + "\n" for each in lines))
    assert verify(log) == 1
    assert "by none of the given keys" in capsys.readouterr().err


@pytest.mark.parametrize("line", ["", "[]", "{}", '{"row": {}}', '{"base": 3}', "no JSON"])
def test_what_is_no_log_is_told_with_its_line(
    log: Path, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    log.write_text(log.read_text() + line + "\n")
    assert verify(log) == 1
    assert "line 6: is no line of an exported audit log" in capsys.readouterr().err
