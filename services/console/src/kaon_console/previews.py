"""GET /preview/<run>?path=...&output=...&digest=...&type=...: the beginning of an artifact, where it can do no harm.

The coordinator reads it for whoever is logged in: a run of another tenant is none, and a digest alone opens nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from grpc import aio
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from kaon_console.backends import Backends, Target
from kaon_console.connect.errors import CallFailed, failure_of
from kaon_console.login import Login
from kaon_console.methods import METHODS
from kaonapi.artifact.v1 import artifact_service_pb2 as a

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
_READ = METHODS["kaonapi.artifact.v1.ArtifactService/ReadArtifact"]
_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class _Beginning:
    """The first bytes of an artifact."""

    digest: str
    data: bytes
    # Size of the whole.
    total: int


class Previews:
    """Reads artifacts for the page.

    Args:
        login: tells who asks.
        backends: leads to the coordinator, which reads them.
        most: bytes of an artifact that are shown.
    """

    def __init__(self, login: Login, backends: Backends, most: int) -> None:
        self._login = login
        self._backends = backends
        self._most = most

    async def serve(self, request: Request) -> Response:
        """Return one preview. `TOTAL_HEADER` has the artifact's size when that is more than is shown."""
        grant = self._login.grant(request)
        if grant is None:
            return self._login.refused()
        asked = request.query_params.get("type", "text/plain")
        if asked not in TYPES:
            return _told(415, f"there are previews of types {', '.join(TYPES)}")
        wish = a.ReadArtifactRequest(
            run_id=request.path_params["run_id"],
            path=request.query_params.get("path", ""),
            output=request.query_params.get("output", ""),
        )
        try:
            target = await self._backends.target(_READ)
            shown = await self._backends.metadata_for(grant)
            found = await _beginning(target, wish, shown, self._most)
        except CallFailed as failure:
            return _told(failure.code.http, failure.message)
        if found.digest != request.query_params.get("digest", ""):
            # The page would show it beside the name, the size and the digest of another one.
            return _told(409, f"output {wish.output} is another artifact by now: {found.digest}")
        return self._answer(TYPES[asked], found)

    def _answer(self, media_type: str, found: _Beginning) -> Response:
        cut = found.total > self._most
        if cut and media_type.startswith("image/"):
            return _told(
                413,
                f"the image has {found.total} bytes, and a preview at most {self._most} (KAON_PREVIEW_BYTES)",
            )
        headers = {
            "content-security-policy": _SANDBOX,
            "x-frame-options": "SAMEORIGIN",
            "content-disposition": "inline",
            # Whoever logs in next in the same browser may be of another tenant.
            "cache-control": "no-store",
        }
        if cut:
            headers[TOTAL_HEADER] = str(found.total)
        return Response(found.data, media_type=media_type, headers=headers)


async def _beginning(
    target: Target, wish: a.ReadArtifactRequest, shown: tuple[tuple[str, str], ...], most: int
) -> _Beginning:
    """Return the first bytes of an artifact.

    Raises:
        CallFailed: The coordinator does not give it.
    """
    method: aio.UnaryStreamMultiCallable[bytes, bytes] = target.channel.unary_stream(
        f"/{_READ.name}"
    )
    stream = method(wish.SerializeToString(), metadata=shown, timeout=_SECONDS)
    data, told = b"", a.RunArtifact()
    try:
        async for piece in stream:
            answer = a.ReadArtifactResponse.FromString(piece)
            if answer.HasField("artifact"):
                told = answer.artifact
            data += answer.data
            if len(data) >= most:
                break
    except aio.AioRpcError as error:
        raise failure_of(error, service=target.service, address=target.address) from error
    finally:
        stream.cancel()
    return _Beginning(digest=told.digest, data=data[:most], total=max(told.size_bytes, len(data)))


def _told(status: int, text: str) -> Response:
    return PlainTextResponse(text + "\n", status)
