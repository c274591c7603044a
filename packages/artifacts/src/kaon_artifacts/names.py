"""Names of artifacts: what a file or directory is called at its origin and in its copies.

A name is untrusted input that becomes part of a path: it must be exactly one component.
"""

from __future__ import annotations

from kaon_artifacts.errors import ArtifactError

# The limit of file systems for one component.
NAME_BYTES = 255
_SHOWN_CHARACTERS = 80


def checked_name(name: object) -> str:
    """Check an untrusted name; empty means that there is none.

    Raises:
        ArtifactError: The name is invalid; the message shows it and the reason.
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
