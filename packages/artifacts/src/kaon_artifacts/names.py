"""Names of artifacts: what a file or directory is called where it comes from, and wherever it is copied to.

A name is what somebody else says, and becomes part of a path: it is one component of a path and nothing else.
"""

from __future__ import annotations

from kaon_artifacts.errors import ArtifactError

# What file systems allow for one component.
NAME_BYTES = 255
_SHOWN_CHARACTERS = 80


def checked_name(name: object) -> str:
    """The name that somebody tells; empty means that there is none.

    Raises:
        ArtifactError: it is no name; the message shows it and says why.
    """
    problem = _problem(name)
    if problem:
        raise ArtifactError(f"{ascii(name)[:_SHOWN_CHARACTERS]} is none: {problem}")
    return str(name)


def _problem(name: object) -> str:
    if not isinstance(name, str):
        return "it is no text"
    if name in (".", ".."):
        return "it stands for no file"
    if "/" in name or "\0" in name:
        return "it has a slash or a zero byte in it"
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "it is not UTF-8"
    return f"it has {size} bytes, the limit is {NAME_BYTES}" if size > NAME_BYTES else ""
