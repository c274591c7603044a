"""A task over each item, so many at once, of which a part may fail: Flyte's advanced_composition/map_task.py."""

from __future__ import annotations

from kaon import Workflow, each, param, steps


def is_anomaly(point: int) -> bool:
    """Tells whether a point lies far out; fails for what is no measurement."""
    if point < 0:
        raise ValueError("no measurement")
    return point > 10


def flagged(found: list[bool | None]) -> list[int]:
    """Lists the places of anomalies."""
    return [place for place, each in enumerate(found) if each]


points = param("points", list[int], default=[10, 12, 1, -1, 99])
# min_success_ratio=0.75: one of five may fail.
point = each("point", points, max_concurrency=2, tolerate="25%")
detect = steps.python("detect-anomalies", is_anomaly, point=point, outputs={"anomaly": bool})
listed = steps.python("flag", flagged, found=detect["anomaly"], outputs={"places": list})

workflow = Workflow("map-workflow", detect**point >> listed, outputs={"places": listed["places"]})

EXPECTED = [
    {"outputs": {"places": [1, 4]}, "count": {"detect-anomalies": 4}},
    {"params": {"points": [-1, -1, 3]}, "status": "FAILED", "count": {"flag": 0}},
]
