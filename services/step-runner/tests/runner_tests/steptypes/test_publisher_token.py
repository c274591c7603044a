"""The token that a publish step shows for its runner."""

from __future__ import annotations

from pathlib import Path

import pytest

from kaon_runner.children import publish
from kaon_runner.children.faults import PlatformFault
from kaon_wire.channels import ChannelSecurity

HERE, ELSEWHERE = "127.0.0.1:7071", "publisher.example.org:7071"
PLAIN = ChannelSecurity()


def test_a_runner_without_a_token_shows_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAON_TOKEN", raising=False)
    monkeypatch.delenv(publish.TOKEN_VARIABLE, raising=False)
    assert publish._token(ELSEWHERE, PLAIN) == ()


def test_the_file_is_read_each_time_and_goes_before_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "token"
    monkeypatch.setenv("KAON_TOKEN", "kaon_a_b")
    assert publish._token(HERE, PLAIN) == (("authorization", "Bearer kaon_a_b"),)
    monkeypatch.setenv(publish.TOKEN_VARIABLE, str(path))
    for token in ("kaon_c_d", "kaon_e_f"):
        path.write_text(token + "\n")
        assert publish._token(HERE, PLAIN) == (("authorization", f"Bearer {token}"),)


def test_a_token_that_cannot_be_read_or_would_be_read_by_others_is_the_platforms_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(publish.TOKEN_VARIABLE, str(tmp_path / "none"))
    with pytest.raises(PlatformFault, match="none"):
        publish._token(HERE, PLAIN)
    (tmp_path / "none").write_text("kaon_c_d")
    with pytest.raises(PlatformFault, match="nothing encrypts"):
        publish._token(ELSEWHERE, PLAIN)
