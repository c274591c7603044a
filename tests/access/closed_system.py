"""A closed system in this process: coordinator, view service and publisher as they are composed, and callers of every kind."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import jwt
from oidc_issuer import Issuer, serving_issuer

import kaon_coordinator.bootstrap as coordinator
import kaon_coordinator.view.application as view
import kaon_publisher.bootstrap as publisher
from kaon_coordinator.access.tokens import Holder, new_token
from kaon_coordinator.settings import Settings
from kaon_coordinator.store.records import TenantRecord
from kaon_coordinator.store.sql import open_store
from kaon_coordinator.transport.memory import MemoryGroup, MemoryTransport
from kaon_coordinator.transport.memory_records import MemoryRecords
from kaon_coordinator.view.view_settings import Settings as ViewSettings
from kaon_publisher.settings import settings_from as publisher_settings
from kaon_service.access.service_keys import ServiceKeys
from kaon_service.call_settings import CallSettings, call_settings
from kaon_service.principal import Principal
from kaon_service.roles import Kind
from kaon_service.thread import ApplicationThread
from kaon_wire.memory import MemoryBroker
from kaon_wire.topics import Catalogue

RULES = """
[[issuer]]
issuer = "{url}"
audience = "kaon"
[issuer.claims]
tenant = "tenant"
[issuer.roles]
admins = "platform-admin"
"""
KEY = base64.b64encode(b"k" * 32).decode()
ENDED = 1_000


@dataclass(frozen=True, kw_only=True)
class ClosedSystem:
    """Its services by name, and what makes credentials that they know."""

    addresses: Mapping[str, str]
    issuer: Issuer
    keys: ServiceKeys
    # By what they are.
    tokens: Mapping[str, str]
    # Databases with audit logs, by service.
    audited: Mapping[str, str]

    def passed_on(self, caller: Principal, seconds: float = 0) -> str:
        """What a service shows that passes a caller on, signed some seconds from now."""
        path = self.keys._keys._paths[0]
        now = time.time() + seconds
        return ServiceKeys(path, "kaon", now=lambda: now).sign("console", caller)

    def not_ours(self) -> str:
        """What somebody shows who has no key of the services."""
        kept = jwt.decode(
            self.passed_on(Principal(name="ann")), options={"verify_signature": False}
        )
        header = jwt.get_unverified_header(self.passed_on(Principal(name="ann")))
        return jwt.encode(kept, b"f" * 32, "HS256", headers=header)


@contextmanager
def closed_system(directory: Path) -> Iterator[ClosedSystem]:
    """Start it."""
    with ExitStack() as stack:
        issuer = stack.enter_context(serving_issuer())
        rules, keys = directory / "auth.toml", directory / "keys"
        rules.write_text(RULES.format(url=issuer.url))
        keys.write_text(KEY)
        environment = {
            "KAON_AUTH": "on",
            "KAON_AUDIT": "changes",
            "KAON_AUTH_FILE": str(rules),
            "KAON_SERVICE_KEYS": str(keys),
            "KAON_ARTIFACTS": directory.as_uri(),
        }
        calls = call_settings(environment)
        database, models = (f"sqlite:///{directory}/{name}.db" for name in ("kaon", "models"))
        tokens = _tokens(database)
        main = _started(stack, "coordinator", lambda: _coordinator(database, directory, calls))
        settings = publisher_settings(
            environment
            | {
                "KAON_SERVER": main,
                "KAON_PUBLISHER_ADDRESS": "127.0.0.1:0",
                "KAON_PUBLISHER_DATABASE": models,
                "KAON_PUBLISHER_LAYOUTS": str(directory / "layouts"),
            }
        )
        of_view = ViewSettings(
            address="127.0.0.1:0", database=database, artifacts=directory.as_uri(), calls=calls
        )
        yield ClosedSystem(
            addresses={
                "coordinator": main,
                "view": _started(stack, "view", lambda: view.Application(of_view)),
                "publisher": _started(stack, "publisher", lambda: publisher.Application(settings)),
            },
            issuer=issuer,
            keys=ServiceKeys(keys, "kaon"),
            tokens=tokens,
            audited={"coordinator": database, "view": database, "publisher": models},
        )


def _started(stack: ExitStack, name: str, make: object) -> str:
    thread = ApplicationThread(name, make)  # type: ignore[arg-type]
    port = thread.start()
    stack.callback(thread.stop)
    return f"127.0.0.1:{port}"


def _coordinator(database: str, directory: Path, calls: CallSettings) -> coordinator.Application:
    catalogue = Catalogue(run_partitions=1, pool_partitions=1, runner_partitions=1)
    broker = MemoryBroker(catalogue.topics())
    settings = Settings(
        database=database,
        address="127.0.0.1:0",
        artifacts=directory.as_uri(),
        durability="relaxed",
        owner="tested",
        catalogue=catalogue,
        calls=calls,
    )
    transport = MemoryTransport(MemoryGroup(broker))
    return coordinator.Application(settings, transport, records=MemoryRecords(broker))


def _tokens(database: str) -> dict[str, str]:
    """Make tenants and static tokens in a new database."""
    store = open_store(database)
    now_us = time.time_ns() // 1000
    for name in ("shop", "bank", "closed"):
        store.put_tenant(
            TenantRecord(
                name=name, enabled=name != "closed", create_us=now_us, created_by="the test"
            )
        )

    def made(holder: Holder, *, ends: int = 0) -> str:
        record, shown = new_token(holder, created_by="the test", now_us=1, expire_us=ends)
        store.add_token(record)
        if holder.name == "revoked":
            store.revoke_token(holder.tenant, record.token_id, now_us)
        return shown

    found = {
        "valid": made(Holder(tenant="shop", name="ann", roles=["tenant-admin"])),
        "expired": made(Holder(tenant="shop", name="expired", roles=["viewer"]), ends=ENDED),
        "revoked": made(Holder(tenant="shop", name="revoked", roles=["viewer"])),
        "runner": made(Holder(tenant="shop", name="gpu", kind=Kind.RUNNER, pool="gpu")),
        "consumer": made(Holder(tenant="shop", name="shop", kind=Kind.CONSUMER)),
    }
    store.close()
    return found
