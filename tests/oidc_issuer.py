"""An OIDC issuer of the tests: real keys, a real server on this machine, and tokens with whatever is wrong with them."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from jwt.algorithms import get_default_algorithms

AUDIENCE = "kaon"
# Seconds far beyond any leeway.
LONG = 1000


@cache
def private_key(algorithm: str, number: int = 0) -> PrivateKeyTypes:
    """A key of an algorithm; another number gives another key."""
    del number
    if algorithm.startswith("RS"):
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return ed25519.Ed25519PrivateKey.generate()


def public_jwk(key: Any, algorithm: str, key_id: str, **more: Any) -> dict[str, Any]:
    """The public half of a key, as an issuer shows it."""
    told = get_default_algorithms()[algorithm].to_jwk(key.public_key(), as_dict=True)
    assert isinstance(told, dict)
    return {**told, "kid": key_id, "alg": algorithm, "use": "sig", **more}


class Issuer:
    """Signs tokens, and serves the discovery document and the keys."""

    def __init__(self) -> None:
        self.url = ""
        self.keys = [
            public_jwk(private_key(each), each, each.lower())
            for each in ("RS256", "ES256", "EdDSA")
        ]
        self.asked: list[str] = []
        # In place of the documents, by path.
        self.answers: dict[str, tuple[int, bytes, dict[str, str]]] = {}

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Those of a valid token; a claim that is changed to None is absent."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "ann",
            "tenant": "shop",
            "roles": ["operator"],
            "iat": now,
            "exp": now + LONG,
        }
        return {name: value for name, value in {**claims, **changed}.items() if value is not None}

    def token(self, algorithm: str = "RS256", key: Any = None, **changed: Any) -> str:
        """A signed token; `kid` names a key."""
        key_id = changed.pop("kid", algorithm.lower())
        return jwt.encode(
            self.claims(**changed),
            key or private_key(algorithm),  # type: ignore[arg-type]
            algorithm,
            headers={"kid": key_id} if key_id else {},
        )

    def document(self, path: str) -> tuple[int, bytes, dict[str, str]]:
        """What is served at a path."""
        self.asked.append(path)
        if path in self.answers:
            return self.answers[path]
        if path == "/.well-known/openid-configuration":
            told: Any = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        elif path == "/keys":
            told = {"keys": self.keys}
        else:
            return 404, b"", {}
        return 200, json.dumps(told).encode(), {}


@contextmanager
def serving_issuer() -> Iterator[Issuer]:
    """An issuer at work."""
    issuer = Issuer()

    class Handler(BaseHTTPRequestHandler):
        """Answers with the issuer's documents."""

        def do_GET(self) -> None:
            """Answer."""
            status, body, headers = issuer.document(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        issuer.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield issuer
        finally:
            server.shutdown()
            thread.join()


def unsigned(claims: dict[str, Any], header: dict[str, Any]) -> str:
    """A token with a header of one's own, and no signature."""
    parts = [json.dumps(each).encode() for each in (header, claims)]
    return ".".join(base64.urlsafe_b64encode(each).rstrip(b"=").decode() for each in parts) + "."
