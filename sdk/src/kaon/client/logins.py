"""What `kaon login` keeps in the user's configuration: a token for each server."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from kaon_wire.errors import InvalidValue

_VERSION = 1
_PRIVATE = 0o600
_PRIVATE_DIRECTORY = 0o700


@dataclass(frozen=True, kw_only=True)
class Login:
    """A login at one server. Secrets are not part of its text."""

    # What calls show.
    token: str = field(repr=False)
    # Seconds since the epoch; 0: unknown, or never.
    expires: int = 0
    # The rest is empty for a static token.
    issuer: str = ""
    client_id: str = ""
    refresh_token: str = field(default="", repr=False)
    # The field of the issuer's answers that is shown: "access_token" or "id_token".
    shows: str = ""
    # A file of certificates that the issuer's is checked against; empty: those of the machine.
    ca: str = ""


class LoginFile:
    """The file of all logins, readable by its owner alone.

    Args:
        path: Its place; by default that of the user's configuration.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or default_path()

    def get(self, server: str) -> Login | None:
        """Return the login at a server; None without one.

        Raises:
            InvalidValue: The file cannot be read.
        """
        return self._read().get(server)

    def put(self, server: str, login: Login | None) -> None:
        """Keep a login at a server, or forget it.

        Raises:
            InvalidValue: The file cannot be read or written.
        """
        logins = self._read()
        if login is None:
            logins.pop(server, None)
        else:
            logins[server] = login
        self._write(logins)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from changing the file: a refresh token is often valid once.

        Raises:
            InvalidValue: The directory cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=_PRIVATE_DIRECTORY)
            lock = os.open(self.path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR, _PRIVATE)
        except OSError as error:
            raise InvalidValue(f"logins cannot be kept in {self.path.parent}: {error}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _read(self) -> dict[str, Login]:
        try:
            document = json.loads(self.path.read_text(encoding="utf-8"))
            if document["version"] != _VERSION:
                raise InvalidValue(
                    f"{self.path} is of another version of Kaon: delete it, and log in again"
                )
            return {server: _login(kept) for server, kept in document["servers"].items()}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise InvalidValue(f"{self.path} cannot be read: {error}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidValue(
                f"{self.path} is damaged: delete it, and log in again with kaon login"
            ) from error

    def _write(self, logins: Mapping[str, Login]) -> None:
        document = {
            "version": _VERSION,
            "servers": {server: asdict(login) for server, login in sorted(logins.items())},
        }
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=_PRIVATE_DIRECTORY)
            # Made with mode 600, and seen whole or not at all.
            number, name = tempfile.mkstemp(dir=self.path.parent, prefix=".credentials-")
            with os.fdopen(number, "w", encoding="utf-8") as file:
                json.dump(document, file, indent=1)
            Path(name).replace(self.path)
        except OSError as error:
            raise InvalidValue(f"{self.path} cannot be written: {error}") from error


def default_path(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the place of the logins: `kaon/credentials.json` in the user's configuration."""
    home = environment.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(home) / "kaon" / "credentials.json"


def _login(kept: Mapping[str, Any]) -> Login:
    # A newer version may keep more.
    known = {each.name for each in fields(Login)}
    return Login(**{name: value for name, value in kept.items() if name in known})
