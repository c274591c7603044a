"""No token goes to another machine in the clear, and nothing in this process is encrypted for itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from kaon_wire.channels import ChannelSecurity, has_ended_here, in_this_process
from kaon_wire.errors import InvalidValue


@pytest.mark.parametrize(
    ("environment", "address"),
    [
        ({}, "127.0.0.1:7070"),
        ({}, "localhost:7070"),
        ({"KAON_TLS": "on"}, "kaon.example.org:7070"),
        ({"KAON_TLS_CA": "ca.pem"}, "kaon.example.org:7070"),
        ({"KAON_TLS": "off"}, "kaon.example.org:7070"),
    ],
)
def test_a_token_is_shown_where_nobody_else_reads_it_or_somebody_has_said_so(
    environment: dict[str, str], address: str
) -> None:
    ChannelSecurity.from_environment(environment).check_token(address)


@pytest.mark.parametrize("address", ["kaon.example.org:7070", "10.0.0.1:7070", "127.0.0.1.evil:1"])
def test_a_token_is_not_shown_to_another_machine_in_the_clear(address: str) -> None:
    with pytest.raises(InvalidValue, match="over a line that nothing encrypts"):
        ChannelSecurity.from_environment({}).check_token(address)


def test_a_system_in_this_process_needs_no_certificates(tmp_path: Path) -> None:
    security = ChannelSecurity(tls=True, ca=tmp_path / "none")
    with in_this_process("127.0.0.1:1", has_ended=lambda: False):
        security.open("127.0.0.1:1").close()
    with pytest.raises(InvalidValue, match="KAON_TLS_CA"):
        security.open("127.0.0.1:1")


def test_what_is_in_this_process_says_whether_it_has_ended() -> None:
    ended: list[bool] = []
    with in_this_process("127.0.0.1:1", has_ended=lambda: bool(ended)):
        assert not has_ended_here("127.0.0.1:1")
        ended.append(True)
        assert has_ended_here("127.0.0.1:1")
        assert not has_ended_here("127.0.0.1:2")
    assert not has_ended_here("127.0.0.1:1")
