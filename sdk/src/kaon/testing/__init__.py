"""Tests of steps and workflows, without servers.

    def test_train(kaon_context):                       # a step's function by itself
        context = kaon_context({"rows": 3}, outputs={"rmse": "float"})
        assert context.call(train) == {"rmse": 0.5}
        assert context.metrics["rmse"] == [0.9, 0.5]

    def test_workflow(kaon_run):                        # the whole workflow, in this process
        done = kaon_run(workflow, {"rows": 3}, fakes=[FakeHive({"get-users": {"users": b"a,b"}})])
        assert done.outputs["rmse"] < 1

The fixtures come with the package, as a plug-in of pytest. `run_workflow` needs `kaon[run]`.
"""

from kaon.testing.context import RecordedContext, step_context
from kaon.testing.fakes import Fake, FakeCall, FakeHive, FakePublish, FakeSpark
from kaon.testing.running import FinishedRun, FinishedStep, run_workflow

__all__ = [
    "Fake",
    "FakeCall",
    "FakeHive",
    "FakePublish",
    "FakeSpark",
    "FinishedRun",
    "FinishedStep",
    "RecordedContext",
    "run_workflow",
    "step_context",
]
