"""Commands that read and verify the audit log."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kaon.cli import formatting, options, output
from kaon.cli.log_selection import moment_us
from kaon_wire.audit import exported
from kaon_wire.audit.messages import head_of, row_of
from kaon_wire.audit.rows import SignedHead, statement
from kaon_wire.audit.verify import Valid, verify
from kaon_wire.errors import InvalidValue, KaonError
from kaon_wire.texts import counted

if TYPE_CHECKING:
    from kaon.client.audit import Audit

app = typer.Typer(
    help="Read and verify the audit log: who changed, or was refused, what.", no_args_is_help=True
)

OfPublisher = Annotated[
    bool,
    typer.Option(
        "--publisher", help="Read the log of the model publisher, not that of the coordinator."
    ),
]


class Changed(KaonError):
    """The audit log is not what was written."""


@app.command("list")
def list_audit(
    principal: Annotated[
        str, typer.Option("--principal", metavar="NAME", help="List only calls of this caller.")
    ] = "",
    method: Annotated[
        str,
        typer.Option(
            "--method", metavar="METHOD", help="List only calls of this method, such as CancelRun."
        ),
    ] = "",
    outcome: Annotated[
        str,
        typer.Option(
            "--outcome",
            metavar="CODE",
            help="List only calls with this outcome, such as PERMISSION_DENIED.",
        ),
    ] = "",
    text: Annotated[
        str,
        typer.Option(
            "--about", metavar="TEXT", help="List only calls that name this, such as a run's id."
        ),
    ] = "",
    since: Annotated[
        str,
        typer.Option(
            "--since",
            metavar="TIME",
            help="List only calls since then: 2h (ago), or 2026-12-01T08:00.",
        ),
    ] = "",
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, help="List at most so many.")
    ] = 100,
    publisher: OfPublisher = False,
    json: options.AsJson = False,
) -> None:
    """List the calls of the tenant that changed something or were refused, newest first.

    \b
    kaon audit list --since 2h
    kaon audit list --outcome PERMISSION_DENIED --json
    """
    since_us = moment_us(since, "--since")
    after = datetime.fromtimestamp(since_us / 1e6, UTC) if since_us else None
    with _audit(publisher=publisher) as audit:
        found = audit.list(
            principal=principal, method=method, outcome=outcome, text=text, since=after, limit=limit
        )
        if json:
            for row in found:
                output.print_json(row)
            return
        rows = [
            (
                formatting.clock(row.time_us),
                row.principal or "(nobody)",
                row.authentication,
                row.method.rpartition("/")[2],
                f"{row.outcome} x{row.calls}" if row.calls > 1 else row.outcome,
                row.named,
            )
            for row in found
        ]
    output.print_table(
        ("TIME", "WHO", "BY", "METHOD", "OUTCOME", "WHAT"), rows, nothing="No call is recorded."
    )


@app.command("export")
def export(publisher: OfPublisher = False) -> None:
    """Print the whole log, of all tenants, as JSON lines that `kaon audit verify FILE` reads.

    \b
    kaon audit export > audit.jsonl
    """
    with _audit(publisher=publisher) as audit:
        for line in _lines(audit):
            sys.stdout.write(line + "\n")


@app.command("verify")
def verify_audit(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]", help="An exported log; default: the service's.", show_default=False
        ),
    ] = None,
    key: Annotated[
        list[Path] | None,
        typer.Option(
            "--key",
            metavar="PEM",
            help="Ed25519 public key of the service; repeat for more. Without one, signatures are not checked.",
        ),
    ] = None,
    publisher: OfPublisher = False,
    json: options.AsJson = False,
) -> None:
    """Find out whether rows were changed, removed or inserted. Exit code 1: they were.

    \b
    kaon audit verify --key audit-public.pem
    kaon audit verify audit.jsonl --key audit-public.pem
    """
    valid = _valid(key) if key else None
    if file is not None:
        with _readable(file) as lines:
            log = exported.parsed(lines)
    else:
        with _audit(publisher=publisher) as audit:
            log = exported.parsed(_lines(audit))
    found = verify(log.base, log.rows, log.signed, valid)
    if json:
        output.print_json(
            {
                "rows": found.rows,
                "last": found.head.seq,
                "digest": found.head.digest,
                "signed_heads": found.signed,
                "signed_up_to": found.covered,
                "problems": list(found.problems),
            }
        )
    if found.problems:
        raise Changed("; ".join(found.problems))
    if not json:
        covered = (
            f"signatures cover it up to row {found.covered}"
            if valid is not None
            else "signatures were not checked (--key)"
        )
        output.say(
            f"{counted(found.rows, 'row follows', 'rows follow')} one another up to row {found.head.seq}; {covered}."
        )


@contextmanager
def _audit(*, publisher: bool) -> Iterator[Audit]:
    """Yield the audit log of one service."""
    with options.client(probes=not publisher) as client:
        yield client.models.audit if publisher else client.audit


def _lines(audit: Audit) -> Iterator[str]:
    for part in audit.export():
        if part.HasField("base"):
            yield exported.base_line(head_of(part.base).head)
        yield from (exported.head_line(head_of(each)) for each in part.heads)
        yield from (exported.row_line(row_of(each)) for each in part.rows)


@contextmanager
def _readable(file: Path) -> Iterator[Iterator[str]]:
    try:
        with file.open(encoding="utf-8") as opened:
            yield opened
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidValue(f"{file} cannot be read: {error}") from error


def _valid(paths: list[Path]) -> Valid:
    """Return what checks signatures with the keys in these files.

    Raises:
        InvalidValue: A file holds no such key, or the library for signatures is not installed.
    """
    try:
        from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError as error:
        raise InvalidValue(
            "--key needs the package cryptography: pip install 'kaon[audit]'"
        ) from error

    keys: list[Ed25519PublicKey] = []
    for path in paths:
        try:
            key = load_pem_public_key(path.read_bytes())
        except (OSError, ValueError, UnsupportedAlgorithm) as error:
            raise InvalidValue(f"--key {path}: holds no public key: {error}") from error
        if not isinstance(key, Ed25519PublicKey):
            raise InvalidValue(f"--key {path}: holds a key that is not Ed25519")
        keys.append(key)

    def valid(told: SignedHead) -> bool:
        for key in keys:
            try:
                key.verify(told.signature, statement(told.head, told.time_us))
            except InvalidSignature:
                continue
            return True
        return False

    return valid
