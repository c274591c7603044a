"""Parameters: times and durations, lists and maps of a type, what may be null, and enumerations.

kaon run examples/parameters/workflow.py -p start=2026-11-24T06:00:00Z
kaon run examples/parameters/workflow.py -p start=2026-11-24T06:00:00+01:00 -p window=3h -p kind=weekly -p regions=US,DE -p limit=5
"""

from datetime import datetime, timedelta
from typing import Literal

import window

from kaon import Workflow, expr, param, run_info, steps

start = param("start", datetime, description="the first moment of the window")
length = param("window", timedelta, default="1h30m", check="value <= duration('1d')")
part = param("part", timedelta, default=timedelta(minutes=30), choices=["15m", "30m", "1h"])
regions = param("regions", list[Literal["US", "DE", "FR"]], default=["US"])
shares = param("shares", dict[str, float], default={"DE": 0.5})
kind = param("kind", Literal["daily", "weekly"], default="daily")
limit = param("limit", int | None, check="value > 0", description="null: without limit")
# Computed once, when the run is submitted: replays and forks keep it.
end = param(
    "end",
    datetime,
    default=expr("start + window", start=start, window=length),
    check="value > timestamp('2020-01-01')",
)
# The origin is empty when somebody has submitted the run.
report = param(
    "report",
    str,
    default=expr("info.origin == '' ? 'by hand' : string(info.scheduled_time)", info=run_info()),
)

cut = steps.python(
    "cut",
    window.cut,
    start=start,
    end=end,
    step=part,
    regions=regions,
    shares=shares,
    outputs={"parts": list, "counted": dict, "last": datetime},
)
tell = steps.python(
    "tell",
    window.tell,
    kind=kind,
    limit=limit,
    parts=cut["parts"],
    late=expr("start.getHours() >= 12", start=start),
    until=end,
    report=report,
    outputs={"line": str},
)

workflow = Workflow(
    "parameters", cut >> tell, outputs={"line": tell["line"], "counted": cut["counted"]}
)
