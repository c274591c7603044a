"""The files of a closed system: made once, and kept as long as the directory is."""

import base64
import json
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from kaon_local.ports import HOST
from kaon_local.secure.people import AUDIENCE, CLIENT_ID, PEOPLE

_NAMES = (HOST, "localhost", "::1")


@dataclass(frozen=True, kw_only=True)
class Files:
    """Certificates and keys in one directory. Nobody else can read them.

    Args:
        directory: Where they lie.
        issuer_port: Where the issuer listens; 0: there is none.
        names: Names of services, beside this machine's, that certificates are for.
        inside: Where services find the directory, if they see it elsewhere: in containers.
        issuer_host: The name of the issuer among the services, if they do not reach it at this machine's address.
    """

    directory: Path
    issuer_port: int = 0
    names: tuple[str, ...] = ()
    inside: Path | None = None
    issuer_host: str = ""

    @property
    def issuer_url(self) -> str:
        """Address of the issuer."""
        return f"https://{HOST}:{self.issuer_port}"

    @property
    def ca(self) -> Path:
        """Certificate of the authority that has signed all others."""
        return self.directory / "ca.pem"

    @property
    def issuer_settings(self) -> Path:
        """What the issuer is told."""
        return self.directory / "issuer.toml"

    @property
    def auditors(self) -> dict[str, str]:
        """What coordinators and model publishers are told: they write the audit log."""
        return self.services | {"KAON_AUDIT_KEY": str(self.directory / "audit.key")}

    @property
    def services(self) -> dict[str, str]:
        """What every service but the runners is told."""
        return self.clients | {
            "KAON_AUTH": "on",
            "KAON_AUTH_FILE": str(self.directory / "auth.toml"),
            "KAON_SERVICE_KEYS": str(self.directory / "service-keys"),
            "KAON_TLS_CERT": str(self.directory / "server.pem"),
            "KAON_TLS_KEY": str(self.directory / "server.key"),
        }

    @property
    def clients(self) -> dict[str, str]:
        """What everybody is told who calls."""
        return {"KAON_TLS_CA": str(self.ca)}

    def make(self) -> None:
        """Make what is missing."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.ca.exists():
            self._make_certificates()
        self._make(
            "service-keys", lambda: base64.b64encode(secrets.token_bytes(32)).decode() + "\n"
        )
        self._make("audit.key", lambda: private_text(Ed25519PrivateKey.generate()))
        if self.issuer_port:
            # The port may be another one than the last time.
            self._write("auth.toml", self._rules())
            self._write("issuer.toml", self._issuer())

    def _make_certificates(self) -> None:
        authority = trustme.CA(organization_name="Kaon on this machine")
        server = authority.issue_cert(*_NAMES, *self.names)
        chain = b"".join(each.bytes() for each in server.cert_chain_pems)
        self._write("server.pem", chain.decode())
        self._write("server.key", server.private_key_pem.bytes().decode())
        # The last one: what is there is whole.
        self._write("ca.pem", authority.cert_pem.bytes().decode())

    def _rules(self) -> str:
        return "".join(
            f"{line}\n"
            for line in (
                "[[issuer]]",
                f"issuer = {_toml(self.issuer_url)}",
                f"audience = {_toml(AUDIENCE)}",
                f"client_id = {_toml(CLIENT_ID)}",
                *self._address(),
                f"ca = {_toml(self._told('ca.pem'))}",
                'claims = { tenant = "tenant" }',
            )
        )

    def _issuer(self) -> str:
        lines = [
            f"url = {_toml(self.issuer_url)}",
            f"port = {self.issuer_port}",
            f"audience = {_toml(AUDIENCE)}",
            f"certificate = {_toml(self._told('server.pem'))}",
            f"key = {_toml(self._told('server.key'))}",
            # Where nobody but its own container reaches its loopback.
            *(["host = '0.0.0.0'"] if self.issuer_host else []),
            "[people]",
        ]
        for person in PEOPLE:
            said = f"tenant = {_toml(person.tenant)}, roles = [{_toml(person.role)}]"
            lines.append(f"{_toml(person.name)} = {{ {said} }}")
        return "\n".join(lines) + "\n"

    def _address(self) -> list[str]:
        if not self.issuer_host:
            return []
        return [f"address = {_toml(f'https://{self.issuer_host}:{self.issuer_port}')}"]

    def _told(self, name: str) -> str:
        return str((self.inside or self.directory) / name)

    def _make(self, name: str, content: Callable[[], str]) -> None:
        write_once(self.directory / name, content)

    def _write(self, name: str, content: str) -> None:
        write_private(self.directory / name, content)


def write_private(path: Path, content: str) -> None:
    """Write a file whole, for its owner alone."""
    partial = path.with_name(f"{path.name}.new")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(content)
    partial.replace(path)


def write_once(path: Path, content: Callable[[], str]) -> None:
    """Write a file that is missing whole, for its owner alone."""
    if not path.exists():
        write_private(path, content())


def private_text(key: PrivateKeyTypes) -> str:
    """Return a private key in the form that every program reads (PEM, PKCS 8)."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def _toml(text: str) -> str:
    # A text of JSON is one of TOML.
    return json.dumps(text)
