"""When something was written, and writing it anew in place: what every file system does in its own way."""

from __future__ import annotations

import os
import time
import uuid
from datetime import datetime
from typing import Any


def written_at(info: dict[str, Any]) -> float:
    """Seconds since the epoch, of what a file system tells of a file.

    Raises:
        OSError: it tells no time.
    """
    # A directory; HDFS in milliseconds; an object store; memory.
    found = (
        info.get("mtime") or info.get("modificationTime") or info.get("LastModified") or info.get("created")
    )
    if isinstance(found, datetime):
        return found.timestamp()
    if found is None:
        raise OSError(f"the file system tells no time of {info.get('name')}")
    return found / 1000 if "modificationTime" in info else float(found)


def touch(fs: Any, path: str, scheme: str) -> None:
    """Makes the file as young as one that was written now.

    Raises:
        FileNotFoundError: it is not there.
    """
    match scheme:
        case "file":
            os.utime(path)
        case "hdfs":
            # WebHDFS has it, and fsspec passes it on.
            fs._call("SETTIMES", method="put", path=path, modificationtime=int(time.time() * 1000))
        case "s3":
            # An object's time is that of its last copy. By way of another one: not every server makes a copy onto itself one.
            copy = f"{path}.{uuid.uuid4().hex}"
            fs.cp_file(path, copy)
            fs.cp_file(copy, path)
            fs.rm_file(copy)
        case _:
            fs.pipe_file(path, fs.cat_file(path))
