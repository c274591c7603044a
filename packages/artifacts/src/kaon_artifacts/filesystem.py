"""The file system behind a base URL."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

import fsspec

from kaon_wire.errors import InvalidValue

SCHEMES = ("file", "s3", "hdfs", "memory")


def open_filesystem(base_url: str) -> tuple[Any, str, str]:
    """The fsspec file system of `base_url`, the path in it, and what is put before a path to make a URL.

    An hdfs: URL is reached through WebHDFS at KAON_WEBHDFS (host:port), by default the same host at port 9870.

    Raises:
        InvalidValue: the URL is of a kind that is not supported.
    """
    parts = urlsplit(base_url)
    path = parts.path.rstrip("/")
    match parts.scheme:
        case "file":
            return fsspec.filesystem("file"), path, "file://"
        case "s3":
            return fsspec.filesystem("s3"), parts.netloc + path, "s3://"
        case "memory":
            return fsspec.filesystem("memory"), path, "memory://"
        case "hdfs":
            return _webhdfs(parts.hostname or "localhost"), path, f"hdfs://{parts.netloc}"
    raise InvalidValue(
        f"artifact store {base_url!r}: use one of {', '.join(SCHEMES)}, such as file:///var/lib/kaon"
    )


def _webhdfs(host: str) -> Any:
    address = os.environ.get("KAON_WEBHDFS") or f"{host}:9870"
    name, _, port = address.rpartition(":")
    return fsspec.filesystem(
        "webhdfs", host=name, port=int(port), user=os.environ.get("HADOOP_USER_NAME", "root")
    )
