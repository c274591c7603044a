"""Hooks beside a step: somebody is told while it runs, when it is tried again, and when it is late; a clean-up may fail.

kaon run examples/alarms/workflow.py -p place=/tmp
"""

import slow_training

from kaon import Retry, Workflow, param, steps

train = steps.python(
    "train",
    slow_training.train,
    place=param("place", str, default=""),
    seconds=param("seconds", float, default=2.0),
    outputs={"score": float},
    retry=Retry(max_attempts=2, backoff="100ms"),
    deadline="1s",
)
begun = steps.python("begun", slow_training.say, text="training has begun")
retried = steps.python("retried", slow_training.say, text="training is tried again")
late = steps.python("late", slow_training.say, text="training is late")
report = steps.python("report", slow_training.say, text="training is over")
remove = steps.python("remove", slow_training.remove, table="temporary")

watched = train.on_running(begun).on_retry(retried).on_late(late)
# The failure of `remove` is recorded, and fails nothing.
workflow = Workflow(
    "alarms", watched >> report, finally_=remove.optional(), outputs={"score": train["score"]}
)
