"""Settings of authentication: nothing is open to other machines unless somebody says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from kaon_service.access.access_settings import (
    AccessSettings,
    Auth,
    access_from,
    check_listeners,
)
from kaon_wire.addresses import is_loopback
from kaon_wire.errors import InvalidValue

OPEN = {"KAON_ADDRESS": "0.0.0.0:7070"}
LOCAL = {"KAON_ADDRESS": "127.0.0.1:7070", "KAON_METRICS": ""}


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("localhost:1", True),
        ("[::1]:1", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        (":1", False),
        ("10.0.0.1:1", False),
        ("localhost.example.org:1", False),
        ("127.0.0.1.example.org:1", False),
    ],
)
def test_what_only_this_machine_reaches(address: str, local: bool) -> None:
    assert is_loopback(address) is local


def test_without_settings_this_machine_may_call_and_no_other() -> None:
    settings = access_from({})
    assert settings.auth is Auth.OFF
    check_listeners(settings, LOCAL)
    with pytest.raises(InvalidValue, match=r"0\.0\.0\.0:7070 \(KAON_ADDRESS\) .* KAON_AUTH is off"):
        check_listeners(settings, OPEN)
    with pytest.raises(InvalidValue, match="KAON_METRICS"):
        check_listeners(settings, LOCAL | {"KAON_METRICS": "0.0.0.0:9400"})


def test_what_is_not_encrypted_is_said(tmp_path: Path) -> None:
    keys = {"KAON_AUTH": "on", "KAON_SERVICE_KEYS": str(tmp_path / "keys")}
    with pytest.raises(InvalidValue, match="nothing is encrypted"):
        check_listeners(access_from(keys), OPEN)
    check_listeners(access_from(keys | {"KAON_TLS": "off"}), OPEN)
    certificate = {"KAON_TLS_CERT": "c.pem", "KAON_TLS_KEY": "k.pem"}
    encrypted = access_from(keys | certificate)
    check_listeners(encrypted, OPEN)
    assert encrypted.encrypts
    assert not access_from(keys | certificate | {"KAON_TLS": "off"}).encrypts


def test_insecure_is_for_who_writes_it_and_still_says_what_is_not_encrypted() -> None:
    with pytest.raises(InvalidValue, match="nothing is encrypted"):
        check_listeners(access_from({"KAON_AUTH": "insecure"}), OPEN)
    check_listeners(access_from({"KAON_AUTH": "insecure", "KAON_TLS": "off"}), OPEN)


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"KAON_AUTH": "yes"}, "KAON_AUTH: 'yes' is not one of off, on, insecure"),
        ({"KAON_AUTH": "on"}, "KAON_SERVICE_KEYS: KAON_AUTH=on needs"),
        ({"KAON_TLS": "yes"}, "KAON_TLS: 'yes' is neither"),
        ({"KAON_TLS_CERT": "c"}, "KAON_TLS_KEY: a certificate and its key"),
        ({"KAON_TLS_KEY": "k"}, "KAON_TLS_CERT: a certificate and its key"),
        ({"KAON_TLS_CLIENT_CA": "c"}, "KAON_TLS_CLIENT_CA: needs"),
    ],
)
def test_what_does_not_fit_together_is_told(environment: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidValue, match=words):
        access_from(environment)


def test_empty_variables_are_as_if_they_were_not_there() -> None:
    names = ("AUTH", "AUTH_FILE", "SERVICE_KEYS", "DEPLOYMENT", "TLS", "TLS_CERT", "TLS_KEY")
    assert access_from({f"KAON_{name}": "" for name in names}) == AccessSettings()
