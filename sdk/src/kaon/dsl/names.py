"""Which names are good."""

from __future__ import annotations

import re

from kaon.dsl.errors import WorkflowError
from kaon.dsl.source import Source
from kaon_wire.definitions.names import POOL_NAME, POOL_NAME_RULE, VALUE_NAME, VALUE_NAME_RULE

MAX_LENGTH = 63

# Parts between dots, none of which begins or ends with a hyphen.
_PART = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_BLOCK = re.compile(rf"(?=[a-z]){_PART}(?:\.{_PART})*")


def check_block_name(name: object, what: str, source: Source) -> str:
    """`name`, when it may be a segment of a path.

    Raises:
        WorkflowError: it may not.
    """
    if not isinstance(name, str) or not _BLOCK.fullmatch(name) or len(name) > MAX_LENGTH:
        raise WorkflowError(
            f"{name!r} is not a good name for a {what}: use lower-case letters, digits, hyphens and single "
            f"dots, a letter first, at most {MAX_LENGTH} characters, such as {_suggest(name)!r}",
            source,
        )
    return name


def check_model_name(name: object, source: Source) -> str:
    """`name`, when it may be the name of a model: part of the name of an image.

    Raises:
        WorkflowError: it may not.
    """
    checked = check_block_name(name, "model", source)
    if "." in checked:
        raise WorkflowError(
            f"{name!r} is not a good name for a model: it has a dot; such as {block_name(checked)!r}",
            source,
        )
    return checked


def check_value_name(name: object, what: str, source: Source) -> str:
    """`name`, when it may be the name of an input, output, item or parameter.

    Raises:
        WorkflowError: it may not.
    """
    if not isinstance(name, str) or not VALUE_NAME.match(name):
        raise WorkflowError(f"{name!r} is not a good name for {what}: {VALUE_NAME_RULE}", source)
    return name


def check_pool_name(name: object, what: str, source: Source) -> str:
    """`name`, when it may be the name of a pool.

    Raises:
        WorkflowError: it may not.
    """
    if not isinstance(name, str) or not POOL_NAME.match(name):
        raise WorkflowError(f"{name!r} is not a good name for {what}: {POOL_NAME_RULE}", source)
    return name


def block_name(text: str) -> str:
    """`text` made into a good block name; empty when nothing of it can be used."""
    words = re.sub(r"[^a-z0-9]+", "-", text.lower()).lstrip("-0123456789")
    return words[:MAX_LENGTH].strip("-")


def _suggest(name: object) -> str:
    return block_name(str(name)) or "train-model"
