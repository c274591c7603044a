"""References to artifacts among a step's outputs: a step passes on those that it was given, and makes none by a digest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from kaon_runner.errors import UserStepError
from kaon_runner.steptypes.base import PreparedStep
from kaon_wire.artifact_references import UNPACKED_TYPES, references

# Returns the digests of the artifacts among a step's inputs. Most steps never need it.
Given: TypeAlias = Callable[[], frozenset[str]]


def given_to(step: PreparedStep) -> frozenset[str]:
    """Return the digests by which a step's inputs refer to artifacts, at any depth."""
    found = (reference.get("digest") for reference in references(list(step.inputs.values())))
    return frozenset(each for each in found if isinstance(each, str) and each)


def check(output: str, value: Any, given: Given) -> None:
    """Refuse a value that refers to an artifact which the step was not given.

    The coordinator grants what a step gives to the tenant: whoever knew a digest would have the artifact.

    Args:
        output: The output's name.
        value: The output, as JSON.
        given: Returns the digests among the step's inputs.

    Raises:
        UserStepError: The value refers to another artifact.
    """
    for reference in references(value):
        digest = reference.get("digest")
        if reference.get("type") in UNPACKED_TYPES:
            raise UserStepError(
                "OutputMismatch",
                f"output {output} refers to an artifact of type {reference['type']!r}, which coordinators make",
            )
        if digest and (not isinstance(digest, str) or digest not in given()):
            raise UserStepError(
                "OutputMismatch",
                f"output {output} refers to artifact {str(digest)[:80]}, which is none of the step's inputs: a step passes on "
                "artifacts that it is given, and gives the path of a file for a new one",
            )
