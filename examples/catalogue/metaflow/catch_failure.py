"""A step whose failure is caught, and looked at behind it: Metaflow's @catch(var="compute_failed")."""

from __future__ import annotations

from kaon import Workflow, each, steps


def divide(by: int) -> float:
    """Fails for 0."""
    return 6 / by


def join(values: list[float | None], errors: list[dict[str, str] | None]) -> str:
    """Tells what came out, and why the others did not."""
    return f"{[value for value in values if value is not None]}, {[e['type'] for e in errors if e]}"


by = each("by", [1, 0, 3])
compute = steps.python("divide", divide, by=by, outputs={"value": float})
joined = steps.python(
    "join", join, values=compute["value"], errors=compute.error, outputs={"text": str}
)

workflow = Workflow(
    "catch-failure", compute.optional() ** by >> joined, outputs={"text": joined["text"]}
)

EXPECTED = {
    "outputs": {"text": "[6.0, 2.0], ['ZeroDivisionError']"},
    "steps": {"each-by[0]/divide": "FAILED"},
}
