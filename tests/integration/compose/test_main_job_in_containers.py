"""The main job in containers, as a new user starts it, up to the prediction of a production system beside it."""

from __future__ import annotations

import time

import grpc
import pytest
from stack import Stack, told
from support import Api, load, until

from kaon import load_workflow
from kaon_local.paths import ROOT
from kaonapi.model.v1 import model_pb2, model_pb2_grpc
from kaonapi.run.v1 import run_pb2

pytestmark = [pytest.mark.real, pytest.mark.e2e, pytest.mark.timeout(900)]

WORKFLOW = ROOT / "examples" / "recommendations" / "workflow.py"


def test_the_main_job_ends_in_predictions_over_http(stack: Stack, api: Api) -> None:
    began = time.monotonic()
    # One pass is enough: that there may be several is seen without containers.
    run = api.submit(load_workflow(WORKFLOW), data="/data/ml-100k", max_regions=2, threshold=0.0)
    ended = api.wait(run, 600)
    seconds = time.monotonic() - began
    assert ended.status == run_pb2.STATUS_SUCCEEDED, ended.error
    trained = [path for path in api.steps(run) if path.endswith("/train-region")]
    assert len(trained) == 2, (
        "the regions are counted at run time: without a parameter there are seven"
    )
    with grpc.insecure_channel(stack.publisher) as channel:
        request = model_pb2.GetModelRequest(model="recommendations")
        version = model_pb2_grpc.ModelServiceStub(channel).GetModel(request).version
    assert version.verification == model_pb2.VERIFICATION_RUN_IN_CONTAINER, (
        version.verification_details
    )
    until(lambda: stack.version_in_service() == 1, seconds=20, what="the consumer serves the model")
    answer = stack.predict({"user": 42, "n": 5})
    assert len(answer["items"]) == 5
    told("main job in containers, 2 regions", [f"{seconds:.0f} s from submit to published"])


def test_a_published_model_answers_within_seconds(stack: Stack, api: Api) -> None:
    run = api.submit(load("containers/workflow.py", "publishing"), factor=3.0)
    ended = api.wait(run)
    assert ended.status == run_pb2.STATUS_SUCCEEDED, ended.error
    step = api.steps(run)["publish"]
    started = step.start_time.ToMicroseconds() / 1e6
    until(
        lambda: stack.predict({"x": 7}) == {"y": 21.0}, seconds=20, what="the consumer's prediction"
    )
    told(
        "publish",
        [f"{time.time() - started:.1f} s from the publish step's start to the first prediction"],
    )
