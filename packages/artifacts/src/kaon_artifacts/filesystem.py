"""The file system behind a base URL."""

from __future__ import annotations

import json
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
    """The location that a base URL names."""

    # The fsspec file system.
    fs: Any
    # The path in it, without a trailing slash.
    root: str
    # The prefix that makes a path a URL.
    prefix: str
    # "file", "s3", "memory" or "hdfs".
    scheme: str
    # An object store: it has no rename, and written objects appear at once and whole.
    objects: bool = False
    # The errors besides OSError that it raises when it does not answer or refuses.
    failures: tuple[type[Exception], ...] = ()


def open_filesystem(base_url: str) -> Place:
    """Return the place that `base_url` names.

    An hdfs: URL is accessed through WebHDFS at KAON_WEBHDFS (host:port), by default the same host at port
    9870; an s3: URL as configured by AWS_ENDPOINT_URL and the other variables of AWS clients.

    Raises:
        InvalidValue: The kind of URL is not supported, or s3: lacks the extra "s3" of this package.
    """
    parts = urlsplit(base_url)
    path = parts.path.rstrip("/")
    match parts.scheme:
        case "file":
            # In a URL, a space is encoded as %20.
            return Place(
                fs=fsspec.filesystem("file"), root=unquote(path), prefix="file://", scheme="file"
            )
        case "s3":
            return _s3(base_url, parts.netloc + path)
        case "memory":
            return Place(
                fs=fsspec.filesystem("memory"), root=path, prefix="memory://", scheme="memory"
            )
        case "hdfs":
            fs = _webhdfs(parts.hostname or "localhost")
            prefix = f"hdfs://{parts.netloc}"
            # Of the server's exceptions, fsspec knows a few; it raises this for the others, such as safe mode.
            failures = (RuntimeError,)
            return Place(fs=fs, root=path, prefix=prefix, scheme="hdfs", failures=failures)
    raise InvalidValue(
        f"artifact store {base_url!r}: use one of {', '.join(SCHEMES)}, such as file:///var/lib/kaon"
    )


def reason_of(error: Exception) -> str:
    """Return why a file system failed, in one line.

    WebHDFS says the reason (`RemoteException`) in the answer's body; the HTTP error itself knows only the status.
    """
    answer = getattr(error, "response", None)
    content = getattr(answer, "content", b"")
    try:
        reason = json.loads(content)["RemoteException"]["message"] if content else ""
    except (ValueError, LookupError, TypeError):
        reason = ""
    first = str(reason).strip().partition("\n")[0]
    return f"{error}: {first}" if first else str(error)


def _s3(base_url: str, root: str) -> Place:
    if find_spec("s3fs") is None:
        raise InvalidValue(
            f"artifact store {base_url!r}: install kaon-artifacts[s3] for s3: addresses"
        )
    from botocore.exceptions import BotoCoreError

    # Other processes write as well, so cached listings become outdated.
    fs = fsspec.filesystem("s3", use_listings_cache=False)
    return Place(
        fs=fs, root=root, prefix="s3://", scheme="s3", objects=True, failures=(BotoCoreError,)
    )


def _webhdfs(host: str) -> Any:
    address = os.environ.get("KAON_WEBHDFS") or f"{host}:9870"
    name, _, port = address.rpartition(":")
    return fsspec.filesystem(
        "webhdfs", host=name, port=int(port), user=os.environ.get("HADOOP_USER_NAME", "root")
    )
