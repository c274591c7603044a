"""GET /preview/<digest>?type=...: the beginning of an artifact, where it can do no harm."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from kaon_artifacts import ArtifactError, ArtifactMissing, ArtifactStore, check_digest
from kaon_console.login import Login

_TEXT = "text/plain; charset=utf-8"
# As what it is shown, by the type that is asked for. Text other than HTML is plain text, for browsers offer to save the rest.
TYPES: Mapping[str, str] = {
    "text/plain": _TEXT,
    "text/markdown": _TEXT,
    "text/csv": _TEXT,
    "text/tab-separated-values": _TEXT,
    "application/json": _TEXT,
    "text/html": "text/html; charset=utf-8",
    "image/png": "image/png",
    "image/jpeg": "image/jpeg",
    "image/gif": "image/gif",
    "image/webp": "image/webp",
    "image/svg+xml": "image/svg+xml",
}
# No script, no form, no origin, nothing loaded. Its own styles may stand in it, as reports and drawings have them.
_SANDBOX = "sandbox; default-src 'none'; img-src data:; font-src data:; style-src 'unsafe-inline'; frame-ancestors 'self'"
TOTAL_HEADER = "kaon-total-bytes"


class Previews:
    """Reads artifacts for the page.

    Args:
        login: tells who asks.
        artifacts: where they are kept; None: there are no previews.
        most: bytes of an artifact that are shown.
    """

    def __init__(self, login: Login, artifacts: ArtifactStore | None, most: int) -> None:
        self._login = login
        self._artifacts = artifacts
        self._most = most

    async def serve(self, request: Request) -> Response:
        """Return one preview. `TOTAL_HEADER` has the artifact's size when that is more than is shown."""
        if self._login.grant(request) is None:
            return self._login.refused()
        if self._artifacts is None:
            return _told(
                404,
                "this console has no previews: KAON_ARTIFACTS does not say where artifacts are kept",
            )
        asked = request.query_params.get("type", "text/plain")
        if asked not in TYPES:
            return _told(415, f"there are previews of types {', '.join(TYPES)}")
        digest = request.path_params["digest"]
        try:
            check_digest(digest)
        except ArtifactError as error:
            return _told(400, str(error))
        try:
            data, total = await asyncio.to_thread(_beginning, self._artifacts, digest, self._most)
        except ArtifactMissing:
            return _told(
                404, f"artifact {digest} is not kept any more, or not where this console looks"
            )
        except ArtifactError as error:
            return _told(502, str(error))
        return self._answer(TYPES[asked], data, total)

    def _answer(self, media_type: str, data: bytes, total: int) -> Response:
        cut = total > self._most
        if cut and media_type.startswith("image/"):
            return _told(
                413,
                f"the image has {total} bytes, and a preview at most {self._most} (KAON_PREVIEW_BYTES)",
            )
        headers = {
            "content-security-policy": _SANDBOX,
            "x-frame-options": "SAMEORIGIN",
            "content-disposition": "inline",
            # Content under its digest never changes; only for the one who is logged in.
            "cache-control": "private, max-age=3600",
        }
        if cut:
            headers[TOTAL_HEADER] = str(total)
        return Response(data, media_type=media_type, headers=headers)


def _beginning(artifacts: ArtifactStore, digest: str, most: int) -> tuple[bytes, int]:
    """Return the first bytes of an artifact, and its size."""
    with artifacts.open(artifacts.by_digest(digest)) as content:
        data = content.read(most)
        return data, content.seek(0, 2)


def _told(status: int, text: str) -> Response:
    return PlainTextResponse(text + "\n", status)
