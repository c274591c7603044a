"""The built page: index.html with a fresh nonce, and files beside it, compressed as the browser takes them."""

from __future__ import annotations

import hashlib
import mimetypes
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response

from kaon_wire.errors import NotFound

NONCE_PLACE = "__CSP_NONCE__"
_UNBUILT = (
    "the console's page is not built: `make setup` builds it where Node.js and npm are installed"
)
# The build names these after their content.
_HASHED = "assets/"
# Best first.
_ENCODINGS: Mapping[str, str] = {"br": ".br", "gzip": ".gz"}
_POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data: blob:; "
    "font-src 'self'; connect-src 'self'; worker-src 'self'; manifest-src 'self'; frame-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Of a script: a worker is held to the policy that comes with its script, not to the one of the page.
_SCRIPT = "text/javascript"
_SCRIPT_POLICY = "default-src 'none'; script-src 'self'; connect-src 'self'; frame-ancestors 'none'"


@dataclass(frozen=True, kw_only=True)
class _File:
    """One file of the build."""

    path: Path
    media_type: str
    # Those encodings in which the build has written it, too.
    encoded: Mapping[str, Path]
    hashed: bool


def check_built(directory: Path) -> None:
    """Check that the page is there.

    Raises:
        NotFound: it is not.
    """
    if not _index_of(directory).is_file():
        raise NotFound(f"{_UNBUILT} ({_index_of(directory)} is missing)")


def _index_of(directory: Path) -> Path:
    return directory / "index.html"


class Pages:
    """The files of one build, as they were when the console started: only what was there then is ever served.

    Args:
        directory: where the build has put them. Without a build every path says what is missing.
    """

    def __init__(self, directory: Path) -> None:
        index = _index_of(directory)
        self._index = index.read_text(encoding="utf-8") if index.is_file() else ""
        self.build = hashlib.sha256(self._index.encode()).hexdigest()[:12] if self._index else ""
        self._files = {
            path.relative_to(directory).as_posix(): _file(path, directory)
            for path in directory.rglob("*")
            if path.is_file() and path != index and path.suffix not in _ENCODINGS.values()
        }

    async def serve(self, request: Request) -> Response:
        """Answer any other GET with a file, or with the page, which knows its own paths."""
        if not self._index:
            return PlainTextResponse(f"{_UNBUILT}\n", 503)
        name = request.url.path.lstrip("/")
        if file := self._files.get(name):
            return _answer(file, request)
        if name.startswith(_HASHED) or PurePosixPath(name).suffix in {
            ".js",
            ".css",
            ".map",
            ".ico",
        }:
            return PlainTextResponse("no such file in this build\n", 404)
        nonce = secrets.token_urlsafe(18)
        return Response(
            self._index.replace(NONCE_PLACE, nonce),
            media_type="text/html; charset=utf-8",
            headers={"content-security-policy": _POLICY.format(nonce=nonce)},
        )


def _file(path: Path, directory: Path) -> _File:
    found = {name: path.with_name(path.name + suffix) for name, suffix in _ENCODINGS.items()}
    return _File(
        path=path,
        media_type=_media_type(path),
        encoded={name: each for name, each in found.items() if each.is_file()},
        hashed=path.relative_to(directory).as_posix().startswith(_HASHED),
    )


def _media_type(path: Path) -> str:
    if path.suffix in {".js", ".mjs"}:
        return _SCRIPT
    return mimetypes.guess_type(path.name)[0] or "application/octet-stream"


def _answer(file: _File, request: Request) -> Response:
    accepted = _accepted(request.headers.get("accept-encoding", ""))
    encoding = next((name for name in file.encoded if name in accepted), "")
    headers = {
        "vary": "accept-encoding",
        "cache-control": "public, max-age=31536000, immutable" if file.hashed else "no-cache",
    }
    if file.media_type == _SCRIPT:
        headers["content-security-policy"] = _SCRIPT_POLICY
    if encoding:
        headers["content-encoding"] = encoding
    return FileResponse(
        file.encoded.get(encoding, file.path), headers=headers, media_type=file.media_type
    )


def _accepted(text: str) -> set[str]:
    """Return the encodings that a browser accepts, without those with q=0."""
    found = set()
    for each in text.lower().split(","):
        name, _, weight = (part.strip() for part in each.partition(";"))
        if weight.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}:
            found.add(name)
    return found
