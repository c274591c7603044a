"""Hooks: somebody is told of a failure, and what was made is always removed.

kaon run examples/hooks/workflow.py                   # training fails: alert, then clean up
kaon run examples/hooks/workflow.py -p rows=100
"""

import training

from kaon import Workflow, outcome, param, run_info, steps

prepare = steps.python(
    "prepare", training.prepare, rows=param("rows", int, default=0), outputs={"table": str}
)
train = steps.python("train", training.train, table=prepare["table"], outputs={"score": float})
alert = steps.python("alert", training.alert, run=run_info()["id"], error=outcome()["error"])
clean_up = steps.python(
    "clean-up", training.clean_up, table=prepare["table"], status=outcome()["status"]
)

workflow = Workflow("hooks", prepare >> train, on_failure=alert, finally_=clean_up)
