"""Which version production systems serve is changed by a word, and they follow within seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from stack import Stack, told
from support import Api, load, until

from kaon.client import Client, Endpoints
from kaonapi.model.v1 import model_pb2
from kaonapi.run.v1 import run_pb2

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

SWITCH_SECONDS = 5.0


@pytest.fixture
def client(stack: Stack) -> Iterator[Client]:
    with Client(Endpoints(server=stack.api, publisher=stack.publisher)) as client:
        yield client


def publish(api: Api, factor: float) -> int:
    run = api.submit(load("containers/workflow.py", "publishing"), factor=factor)
    ended = api.wait(run)
    assert ended.status == run_pb2.STATUS_SUCCEEDED, ended.error
    return int(api.steps(run)["publish"].outputs_json["version"])


def seconds_until(stack: Stack, answer: float) -> float:
    """How long the consumer takes to answer with it."""
    began = time.monotonic()
    until(
        lambda: stack.predict({"x": 1}) == {"y": answer},
        seconds=SWITCH_SECONDS,
        what=f"answer {answer}",
    )
    return time.monotonic() - began


def test_consumers_follow_promotion_and_rollback_within_five_seconds(
    stack: Stack, api: Api, client: Client
) -> None:
    first, second = publish(api, 11.0), publish(api, 13.0)
    published = seconds_until(stack, 13.0)
    promoted = client.models.promote("multiplier", first, "a test")
    to_first = seconds_until(stack, 11.0)
    rolled_back = client.models.rollback("multiplier")
    to_second = seconds_until(stack, 13.0)
    assert promoted.kind == model_pb2.ANNOUNCEMENT_KIND_PROMOTED
    assert (rolled_back.version.version, rolled_back.replaces) == (second, first)
    told(
        "switch of the consumer",
        [f"published {published:.2f} s, promoted {to_first:.2f} s, rolled back {to_second:.2f} s"],
    )


def test_a_publisher_that_is_killed_announces_once(stack: Stack, api: Api, client: Client) -> None:
    """Killed again and again while it works; the step asks again, and the key is the run's."""
    before = len(list(client.models.list("multiplier")))
    run = api.submit(load("containers/workflow.py", "publishing"), factor=17.0)
    api.await_leased(run, "publish")
    publisher = stack.container("model-publisher")
    for pause in (0.3, 0.8, 1.3):
        time.sleep(pause)
        publisher.kill()
        publisher.start()
    ended = api.wait(run)
    assert ended.status == run_pb2.STATUS_SUCCEEDED, ended.error
    stack.await_healthy(publisher)
    assert len(list(client.models.list("multiplier"))) == before + 1
    until(
        lambda: stack.predict({"x": 1}) == {"y": 17.0}, seconds=20, what="the consumer's prediction"
    )
