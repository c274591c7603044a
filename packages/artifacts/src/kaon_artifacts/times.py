"""Times of files: reading and renewing them, which every file system does in its own way."""

from __future__ import annotations

import os
import time
import uuid
from datetime import datetime
from typing import Any


def written_at(info: dict[str, Any]) -> float:
    """Return the time of a file in seconds since the epoch, from a file system's information.

    Raises:
        OSError: The information has no time.
    """
    # A directory; HDFS in milliseconds; an object store; memory.
    found = (
        info.get("mtime")
        or info.get("modificationTime")
        or info.get("LastModified")
        or info.get("created")
    )
    if isinstance(found, datetime):
        return found.timestamp()
    if found is None:
        raise OSError(f"the file system tells no time of {info.get('name')}")
    return found / 1000 if "modificationTime" in info else float(found)


def touch(fs: Any, path: str, scheme: str) -> None:
    """Set the file's time to now.

    Raises:
        FileNotFoundError: The file does not exist.
    """
    match scheme:
        case "file":
            os.utime(path)
        case "hdfs":
            # WebHDFS has it, and fsspec passes it on.
            fs._call("SETTIMES", method="put", path=path, modificationtime=int(time.time() * 1000))
        case "s3":
            # An object's time is that of its last copy. Copied to another object and back: not every server
            # copies an object onto itself.
            copy = f"{path}.{uuid.uuid4().hex}"
            fs.cp_file(path, copy)
            fs.cp_file(copy, path)
            fs.rm_file(copy)
        case _:
            fs.pipe_file(path, fs.cat_file(path))
