"""Memoization: a step that was executed before with the same code and inputs is not executed again.

kaon run examples/memo/workflow.py --state .kaon/memo
kaon run examples/memo/workflow.py --state .kaon/memo        # the features are taken from the first run
"""

import features

from kaon import Memo, Workflow, param, steps

build = steps.python(
    "build-features",
    features.build,
    users=param("users", int, default=1000),
    outputs={"features": list},
    memo=Memo(salt="1", max_age="30d"),
)
report = steps.python(
    "report", features.report, features=build["features"], outputs={"mean": float}
)

workflow = Workflow("memo", build >> report, outputs={"mean": report["mean"]})
