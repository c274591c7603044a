"""Secrets that grant something until they expire: one-time links and sessions.

Each is a file in a directory, named by the secret's hash. Whoever reads the directory learns no secret, and the processes that
share it agree on what is spent, also after a restart.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kaon_service.principal import Principal

_SECRET_BYTES = 32


@dataclass(frozen=True, kw_only=True)
class Grant:
    """What a secret grants."""

    # The secret's hash: tells one grant from another, and opens nothing.
    key: str
    principal: Principal
    # Seconds since the epoch.
    expires: float
    # The id of the static token with which it began, and with which it ends; empty without one.
    token_id: str = ""


class Tickets:
    """The secrets of one kind.

    Args:
        directory: made when it is not there, for this user alone.
        seconds: how long a secret is good for.
        now: seconds since the epoch.
    """

    def __init__(
        self, directory: Path, *, seconds: float, now: Callable[[], float] = time.time
    ) -> None:
        self._directory = directory
        self._seconds = seconds
        self._now = now
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def issue(self, principal: Principal, *, token_id: str = "", until: float = math.inf) -> str:
        """Make a new secret for somebody, and return it. Those that have expired are deleted.

        Args:
            principal: who it is for.
            token_id: the static token with which it ends.
            until: when it ends at the latest.
        """
        self._sweep()
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        told = {
            "tenant": principal.tenant,
            "name": principal.name,
            "roles": sorted(principal.roles),
            "expires": min(self._now() + self._seconds, until),
            "token": token_id,
        }
        path = self._path(_key(secret))
        partial = path.with_suffix(".new")
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(told, file)
        partial.rename(path)
        return secret

    def find(self, secret: str) -> Grant | None:
        """Return the grant of a secret; None when it is unknown, spent or expired."""
        key = _key(secret)
        try:
            told = json.loads(self._path(key).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        principal = Principal(
            tenant=told["tenant"], name=told["name"], roles=frozenset(told["roles"])
        )
        grant = Grant(
            key=key,
            principal=principal,
            expires=told["expires"],
            # Sessions of earlier versions have none.
            token_id=told.get("token", ""),
        )
        return grant if grant.expires > self._now() else None

    def spend(self, secret: str) -> Grant | None:
        """Return the grant of a secret once: of several callers at the same time one gets it."""
        grant = self.find(secret)
        return grant if grant is not None and self._delete(self._path(grant.key)) else None

    def _sweep(self) -> None:
        for path in self._directory.glob("*.json"):
            try:
                expired = json.loads(path.read_text(encoding="utf-8"))["expires"] <= self._now()
            except FileNotFoundError:
                continue
            if expired:
                self._delete(path)

    def _path(self, key: str) -> Path:
        return self._directory / f"{key}.json"

    @staticmethod
    def _delete(path: Path) -> bool:
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        return True


def _key(secret: str) -> str:
    # A secret has 256 random bits: a hash without salt is enough.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
