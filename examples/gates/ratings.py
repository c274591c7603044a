"""Runs of many days that wait for their ratings: one signal to all of them lets those of its day go on.

kaon submit examples/gates/ratings.py -p day=2026-11-29
kaon submit examples/gates/ratings.py -p day=2026-11-30
kaon signal --all ratings -p day=2026-11-30 -p ratings='[3, 4, 5]'
"""

import release

from kaon import Workflow, param, signal, steps

day = param("day", "date")
ratings = signal(
    "ratings",
    fields=[param("day", "date"), param("ratings", list[float])],
    where="payload.day == params.day",
    timeout="6h",
)
load = steps.python(
    "load", release.load, ratings=ratings["payload"]["ratings"], outputs={"mean": float}
)

workflow = Workflow(
    "ratings-of-a-day", ratings >> load, parameters=[day], outputs={"mean": load["mean"]}
)
