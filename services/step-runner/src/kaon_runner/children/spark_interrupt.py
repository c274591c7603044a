"""Ends a Spark Connect server's work for a client that is gone: `python -m ... SERVER SESSION`.

Releasing a session interrupts its operations. The request is encoded by hand because loading pyspark takes
seconds, and a cancelled step should end within five.
"""

from __future__ import annotations

import sys
from urllib.parse import urlsplit

import grpc

# As named in `children.spark`; not imported from there, which loads pyspark.
USER = "kaon"
_METHOD = "/spark.connect.SparkConnectService/ReleaseSession"
_SECONDS = 5.0


def release(server: str, session: str) -> None:
    """Release a session; do nothing when the server does not know it.

    Raises:
        grpc.RpcError: The server does not answer.
    """
    with grpc.insecure_channel(urlsplit(server).netloc) as channel:
        call = channel.unary_unary(_METHOD, request_serializer=bytes, response_deserializer=bytes)
        call(release_request(session), timeout=_SECONDS)


def release_request(session: str) -> bytes:
    """Encode spark.connect.ReleaseSessionRequest {session_id = 1, user_context = 2 {user_id = 1}, client_type = 4}."""
    return _field(1, session.encode()) + _field(2, _field(1, USER.encode())) + _field(4, b"kaon")


def _field(number: int, value: bytes) -> bytes:
    # Lengths under 128 take one byte; ids and names are shorter.
    return bytes([number << 3 | 2, len(value)]) + value


def main() -> None:
    """Release the session that the arguments name."""
    release(*sys.argv[1:])


if __name__ == "__main__":
    main()
