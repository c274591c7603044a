"""The file system behind a base URL."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any
from urllib.parse import unquote, urlsplit

import fsspec

from kaon_wire.errors import InvalidValue

SCHEMES = ("file", "s3", "hdfs", "memory")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a base URL leads."""

    # The fsspec file system.
    fs: Any
    # The path in it, without a slash at the end.
    root: str
    # What is put before a path to make a URL.
    prefix: str
    # "file", "s3", "memory" or "hdfs".
    scheme: str
    # An object store: nothing is renamed there, and what is written appears at once and whole.
    objects: bool = False
    # What it raises, beside OSError, when it does not answer or refuses.
    failures: tuple[type[Exception], ...] = ()


def open_filesystem(base_url: str) -> Place:
    """The place that `base_url` names.

    An hdfs: URL is reached through WebHDFS at KAON_WEBHDFS (host:port), by default the same host at port 9870, an s3: URL as
    AWS_ENDPOINT_URL and the other variables of the AWS clients say.

    Raises:
        InvalidValue: the URL is of a kind that is not supported, or s3: without the extra "s3" of this package.
    """
    parts = urlsplit(base_url)
    path = parts.path.rstrip("/")
    match parts.scheme:
        case "file":
            # A URL: a space is written %20 in it.
            return Place(fs=fsspec.filesystem("file"), root=unquote(path), prefix="file://", scheme="file")
        case "s3":
            return _s3(base_url, parts.netloc + path)
        case "memory":
            return Place(fs=fsspec.filesystem("memory"), root=path, prefix="memory://", scheme="memory")
        case "hdfs":
            fs = _webhdfs(parts.hostname or "localhost")
            return Place(fs=fs, root=path, prefix=f"hdfs://{parts.netloc}", scheme="hdfs")
    raise InvalidValue(
        f"artifact store {base_url!r}: use one of {', '.join(SCHEMES)}, such as file:///var/lib/kaon"
    )


def _s3(base_url: str, root: str) -> Place:
    if find_spec("s3fs") is None:
        raise InvalidValue(f"artifact store {base_url!r}: install kaon-artifacts[s3] for s3: addresses")
    from botocore.exceptions import BotoCoreError

    # Others write as well: what was listed once is not true for ever.
    fs = fsspec.filesystem("s3", use_listings_cache=False)
    return Place(fs=fs, root=root, prefix="s3://", scheme="s3", objects=True, failures=(BotoCoreError,))


def _webhdfs(host: str) -> Any:
    address = os.environ.get("KAON_WEBHDFS") or f"{host}:9870"
    name, _, port = address.rpartition(":")
    return fsspec.filesystem(
        "webhdfs", host=name, port=int(port), user=os.environ.get("HADOOP_USER_NAME", "root")
    )
