"""A changed, removed or inserted row is found, and signed heads cannot be made again without their key."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import create_engine

from kaon_service.audit.signing import signer, unsigned
from kaon_service.audit.store import AuditStore, Wanted
from kaon_service.audit.tables import MIGRATIONS, metadata
from kaon_wire.audit.rows import START, AuditCall, SignedHead, chained, merged, statement
from kaon_wire.audit.verify import Verdict, verify

from .conftest import call, tamper

KEY = Ed25519PrivateKey.generate()


def valid(told: SignedHead, key: Ed25519PrivateKey = KEY) -> bool:
    """Check a signature as the key's holder would."""
    try:
        key.public_key().verify(told.signature, statement(told.head, told.time_us))
    except InvalidSignature:
        return False
    return True


def verdict(store: AuditStore) -> Verdict:
    """Verify the whole log as its holder would."""
    _, base = store.ends()
    return verify(base, store.after(base.seq), store.signed(), valid)


def filled(store: AuditStore) -> None:
    """Write six rows, with a signed head after the fourth."""
    store.append([call(number) for number in range(4)])
    assert store.sign_head(KEY.sign, 2_000_000) is not None
    store.append([call(number) for number in range(4, 6)])


def test_what_nobody_touched_is_in_order(store: AuditStore) -> None:
    filled(store)
    found = verdict(store)
    assert (found.rows, found.signed, found.covered, found.problems) == (6, 1, 4, ())


def test_the_key_is_replaced_while_a_service_signs(store: AuditStore, tmp_path: Path) -> None:
    keys, file = (KEY, Ed25519PrivateKey.generate()), tmp_path / "audit.pem"

    def put(key: Ed25519PrivateKey) -> None:
        file.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        )

    put(keys[0])
    sign = signer(file)
    for number, key in enumerate(keys, 1):
        put(key)
        store.append([call(number)])
        head = store.sign_head(sign, number)
        assert head is not None
        assert [valid(head, each) for each in keys] == [each is key for each in keys]
    # What is no key leaves the last one in force.
    file.write_text("no key")
    store.append([call(3)])
    head = store.sign_head(sign, 3)
    assert head is not None
    assert valid(head, keys[1])
    _, base = store.ends()
    either = verify(
        base, store.after(0), store.signed(), lambda told: any(valid(told, each) for each in keys)
    )
    assert (either.covered, either.problems) == (3, ())


def test_an_empty_log_is_in_order(store: AuditStore) -> None:
    assert verdict(store).problems == ()
    assert store.sign_head(KEY.sign, 1) is None


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (
            "UPDATE audit_rows SET outcome = 'OK', principal = 'eve' WHERE seq = 2",
            "row 2 was changed",
        ),
        ("DELETE FROM audit_rows WHERE seq = 3", "row 4 follows row 2"),
        ("DELETE FROM audit_rows WHERE seq = 1", "row 2 follows row 0"),
        ("UPDATE audit_rows SET seq = 7 WHERE seq = 6", "row 7 follows row 5"),
        ("DELETE FROM audit_rows WHERE seq >= 4", "rows 4 to 4 are missing"),
        ("UPDATE audit_heads SET digest = 'f' || substr(digest, 2)", "row 4 is another than"),
        ("UPDATE audit_heads SET time_us = 1", "the signature of the head at row 4"),
        ("UPDATE audit_ends SET base_seq = 2", "begins after row 2"),
    ],
)
def test_a_changed_log_is_noticed(store: AuditStore, url: str, statement: str, words: str) -> None:
    filled(store)
    tamper(url, statement)
    assert any(words in problem for problem in verdict(store).problems)


def test_rows_that_were_all_made_again_differ_from_the_signed_head(
    store: AuditStore, url: str
) -> None:
    filled(store)
    kept = store.after(0)
    tamper(url, "DELETE FROM audit_rows")
    tamper(url, "DELETE FROM audit_ends")
    store.append([call(9), *(row.call for row in kept[1:])])
    assert verdict(store).problems == ("row 4 is another than the one whose head was signed",)


def test_what_is_forgotten_ends_at_a_signed_head(store: AuditStore) -> None:
    filled(store)
    assert store.forget(before_us=1_999_999) == 0
    assert store.forget(before_us=2_000_001) == 4
    assert store.forget(before_us=2_000_001) == 0
    found = verdict(store)
    assert (found.rows, found.problems) == (2, ())
    assert [row.seq for row in store.newest(Wanted())] == [6, 5]


def test_writers_at_the_same_time_make_one_chain(store: AuditStore, url: str) -> None:
    others = [AuditStore(url) for _ in range(3)]
    with ThreadPoolExecutor(4) as pool:
        done = [
            pool.submit(each.append, [call(10 * number + piece)])
            for piece in range(5)
            for number, each in enumerate((store, *others))
        ]
        for each in done:
            each.result()
    for other in others:
        other.close()
    assert store.sign_head(unsigned, 5) is not None
    _, base = store.ends()
    found = verify(base, store.after(base.seq), store.signed(), None)
    assert (found.rows, found.problems) == (20, ())


def test_refusals_that_are_alike_are_one_row(store: AuditStore) -> None:
    refused = call(1, outcome="PERMISSION_DENIED")
    calls = merged([refused, call(2), refused, refused, call(2)])
    assert [(each.outcome, each.calls) for each in calls] == [
        ("PERMISSION_DENIED", 3),
        ("OK", 1),
        ("OK", 1),
    ]


def test_lists_are_of_one_tenant_and_filtered(store: AuditStore) -> None:
    other = "kaonapi.run.v1.RunService/XCancelRun"
    store.append([call(1), call(2, tenant="blue"), call(3, method=other), call(4, principal="bob")])

    def numbers(**wanted: str | int) -> list[int]:
        found = store.newest(Wanted(tenant="red", **wanted))  # type: ignore[arg-type]
        return [row.seq for row in found]

    assert numbers() == [4, 3, 1]
    assert numbers(method="CancelRun") == [4, 1]
    assert numbers(principal="bob") == [4]
    assert numbers(since_us=1_000_003) == [4, 3]
    assert numbers(until_us=1_000_003) == [1]
    assert numbers(before_seq=4, limit=1) == [3]
    assert numbers(named="r3") == [3]


def test_hashes_cover_every_field() -> None:
    """A field that the hash leaves out could be changed by anybody."""
    first = next(iter(chained(START, [call()]))).digest
    for each in fields(AuditCall):
        value = getattr(call(), each.name)
        other = replace(call(), **{each.name: value + 1 if isinstance(value, int) else value + "x"})
        assert next(iter(chained(START, [other]))).digest != first


def test_the_migrations_make_the_tables_that_the_code_expects(store: AuditStore, url: str) -> None:
    engine = create_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"compare_type": True, "version_table": MIGRATIONS.version_table},
        )
        assert compare_metadata(context, metadata) == []
        assert MIGRATIONS.revision(connection) == MIGRATIONS.head
    engine.dispose()
    newest = ScriptDirectory.from_config(MIGRATIONS.config()).get_current_head()
    assert newest == MIGRATIONS.head
