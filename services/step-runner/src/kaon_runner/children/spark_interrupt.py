"""Ends a Spark Connect server's work for a client that is gone: `python -m ... SERVER TENANT SESSION`.

Releasing a session interrupts its operations. The request is encoded by hand because loading pyspark takes
seconds, and a cancelled step should end within five.
"""

from __future__ import annotations

import sys
from urllib.parse import urlsplit

import grpc

from kaon_runner.children import engine_access

# In the address of a server that speaks TLS.
OVER_TLS = "use_ssl=true"
_METHOD = "/spark.connect.SparkConnectService/ReleaseSession"
_SECONDS = 5.0


def release(server: str, tenant: str, session: str) -> None:
    """Release a session of a tenant; do nothing when the server does not know it.

    Raises:
        grpc.RpcError: The server does not answer, or refuses the call.
    """
    with _channel(server) as channel:
        call = channel.unary_unary(_METHOD, request_serializer=bytes, response_deserializer=bytes)
        call(release_request(tenant, session), timeout=_SECONDS)


def _channel(server: str) -> grpc.Channel:
    place = urlsplit(server)
    if OVER_TLS not in place.path:
        return grpc.insecure_channel(place.netloc)
    return grpc.secure_channel(place.netloc, credentials())


def credentials() -> grpc.ChannelCredentials:
    """Return what a server that speaks TLS is checked by, and shown."""
    checked = grpc.ssl_channel_credentials(engine_access.roots())
    shown = engine_access.token()
    if not shown:
        return checked
    return grpc.composite_channel_credentials(checked, grpc.access_token_call_credentials(shown))


def release_request(tenant: str, session: str) -> bytes:
    """Encode spark.connect.ReleaseSessionRequest {session_id = 1, user_context = 2 {user_id = 1}, client_type = 4}."""
    return _field(1, session.encode()) + _field(2, _field(1, tenant.encode())) + _field(4, b"kaon")


def _field(number: int, value: bytes) -> bytes:
    # Lengths under 128 take one byte; ids and names are shorter.
    return bytes([number << 3 | 2, len(value)]) + value


def main() -> None:
    """Release the session that the arguments name."""
    release(*sys.argv[1:])


if __name__ == "__main__":
    main()
