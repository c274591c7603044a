"""The images' health check: `healthcheck.py grpc PORT` asks the gRPC health service, `healthcheck.py http URL` a web server."""

import sys
import urllib.request

SECONDS = 4.0
SERVING = b"\x08\x01"


def grpc_serving(port: str) -> bool:
    """Whether the whole server says SERVING. An empty request and this answer need no generated code."""
    import grpc

    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        return bool(check(b"", timeout=SECONDS) == SERVING)


def http_ok(url: str) -> bool:
    """Whether the URL answers with a status below 400; urllib raises for others."""
    with urllib.request.urlopen(url, timeout=SECONDS):
        return True


if __name__ == "__main__":
    kind, where = sys.argv[1:]
    sys.exit(0 if {"grpc": grpc_serving, "http": http_ok}[kind](where) else 1)
