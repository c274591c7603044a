"""Keys of lease tokens in a file that is replaced while a service runs."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from kaon_service.access import lease_file
from kaon_service.access.admission import Admission
from kaon_service.access.credentials import Credentials, Forbidden
from kaon_service.access.lease_file import read_lease_keys
from kaon_service.principal import Principal
from kaon_service.roles import Kind
from kaon_wire.errors import InvalidValue
from kaon_wire.lease_tokens import LEASE_KEY, LeaseClaim, LeaseKeys, show

OLD, NEW = b"o" * 32, b"n" * 32
CLAIM = LeaseClaim(
    tenant="acme", run_id="run", path="publish", attempt=1, generation=1, incarnation="runner-1"
)
PUBLISH = "/kaonapi.model.v1.ModelService/PublishModel"
RUNNER = Principal(tenant="shop", name="gpu", kind=Kind.RUNNER, pool="gpu")


def write(file: Path, *keys: bytes) -> None:
    """Replaces the file, as it is done where a service may read it at any time."""
    new = file.with_suffix(".new")
    new.write_bytes(b"\n".join(map(base64.b64encode, keys)))
    new.replace(file)


def test_keys_are_read_from_a_file_with_the_newest_first(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    lines = [base64.b64encode(NEW), b"", b"# of last month", base64.urlsafe_b64encode(OLD)]
    file.write_bytes(b"\n".join(lines))
    read = read_lease_keys({"KAON_LEASE_KEYS": str(file)})
    assert read is not None
    assert read().sign(CLAIM) == LeaseKeys((NEW,)).sign(CLAIM)
    assert read().verify(CLAIM, LeaseKeys((OLD,)).sign(CLAIM))
    assert read_lease_keys({}) is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "holds no key"),
        ("secret words\n", "line 1 of .* is not base64"),
        (base64.b64encode(b"short").decode(), "a key of 5 bytes; at least 32"),
        (f"{base64.b64encode(NEW).decode()}\n" * 2, "the same key twice"),
    ],
)
def test_a_file_of_keys_with_a_fault_is_refused_without_showing_it(
    tmp_path: Path, content: str, problem: str
) -> None:
    file = tmp_path / "keys"
    file.write_text(content)
    with pytest.raises(InvalidValue, match=f"KAON_LEASE_KEYS: .*{problem}") as refused:
        read_lease_keys({"KAON_LEASE_KEYS": str(file)})
    assert not content or content.strip() not in str(refused.value)


def test_a_missing_file_of_keys_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=r"KAON_LEASE_KEYS: .*nowhere cannot be read"):
        read_lease_keys({"KAON_LEASE_KEYS": str(tmp_path / "nowhere")})


async def test_keys_rotate_while_leases_of_each_publish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The steps of docs/lines.md at a publisher that is not restarted: no step is refused but that of a key taken out."""
    monkeypatch.setattr(lease_file, "OFTEN_SECONDS", 0.0)
    file = tmp_path / "keys"
    write(file, OLD)
    read = read_lease_keys({"KAON_LEASE_KEYS": str(file)})
    assert read is not None

    async def runner(_: Credentials) -> Principal:
        return RUNNER

    admission = Admission(authenticate=runner, tenants=None, leases=read)

    async def publishes(key: bytes) -> bool:
        shown = show(CLAIM, LeaseKeys((key,)).sign(CLAIM))
        try:
            caller = await admission.admit(PUBLISH, Credentials(metadata={LEASE_KEY: shown}))
        except Forbidden:
            return False
        return caller.tenant == "acme"

    assert (await publishes(OLD), await publishes(NEW)) == (True, False)
    # What a coordinator releases is signed with the first key.
    for keys in ((OLD, NEW), (NEW, OLD)):
        write(file, *keys)
        assert (await publishes(OLD), await publishes(NEW)) == (True, True)
        assert read().sign(CLAIM) == LeaseKeys((keys[0],)).sign(CLAIM)
    # A file that is written in part leaves the last keys in force.
    file.write_text("half a key")
    assert (await publishes(OLD), await publishes(NEW)) == (True, True)
    # A token that was found valid once is remembered, but not beyond its key.
    write(file, NEW)
    assert (await publishes(OLD), await publishes(NEW)) == (False, True)


def test_the_file_is_looked_at_once_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keys"
    write(file, OLD)
    now = [1.0]
    monkeypatch.setattr("kaon_service.access.watched.time.monotonic", lambda: now[0])
    read = read_lease_keys({"KAON_LEASE_KEYS": str(file)})
    assert read is not None
    write(file, NEW)
    now[0] += 0.9
    assert read().verify(CLAIM, LeaseKeys((OLD,)).sign(CLAIM))
    now[0] += 0.2
    assert not read().verify(CLAIM, LeaseKeys((OLD,)).sign(CLAIM))
