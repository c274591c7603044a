"""Notifications: reviewers hear that a release waits for them, and the team of operations hears of failures.

kaon run examples/notifications/workflow.py           # says that nobody is notified: there are no channels
KAON_NOTIFICATIONS=examples/notifications/channels.toml kaon run examples/notifications/workflow.py

The second command delivers to this machine; for example `python3 -m http.server` on port 8099 shows what comes (and refuses it).
"""

from kaon import Retry, Workflow, approval, notify, steps

load = steps.shell("load", argv=["true"], retry=Retry(max_attempts=3, backoff="1s"))
release = approval("release", message="Release the forecast?", timeout="1d", on_timeout="reject")
publish = steps.shell("publish", argv=["echo", "released"])

workflow = Workflow(
    "notifications",
    load >> release >> publish,
    deadline="2h",
    notify=[
        notify("failed", "late", "retry", to="ops"),
        notify("waiting", to="reviewers"),
    ],
)
