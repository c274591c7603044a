"""Chains at a runner: what they give next, and which extensions let them go on."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from kaon_runner.leases.chain import Chain
from kaon_runner.leases.table import LeaseTable
from kaonapi.step.v1 import step_pb2


def _request(path: str, generation: int = 1, epoch: int = 1) -> step_pb2.StepRequest:
    key = step_pb2.StepKey(run_id="r", path=path, attempt=1, generation=generation)
    return step_pb2.StepRequest(key=key, epoch=epoch)


def _successors(paths: str, generation: int = 1) -> Iterable[step_pb2.Successor]:
    """Steps with the output of the one before them."""
    for place, path in enumerate(paths):
        source = step_pb2.ChainOutput(step=place, output="out")
        request = _request(path, generation)
        yield step_pb2.Successor(request=request, inputs={"x": source})


def _released(paths: str, generation: int = 1) -> step_pb2.StepRequest:
    request = _request(paths[0], generation)
    request.successors.extend(_successors(paths[1:], generation))
    return request


def _extension(paths: str, generation: int = 1) -> step_pb2.ChainExtension:
    return step_pb2.ChainExtension(
        key=_request(paths[0], generation).key, successors=_successors(paths[1:], generation)
    )


def _next(chain: Chain, value: str) -> tuple[str, str] | None:
    """The step after one that has succeeded with a value, and its input."""
    succeeded = step_pb2.StepSucceeded(outputs_json={"out": value})
    request = chain.after(step_pb2.StepSpec(), succeeded)
    return None if request is None else (request.key.path, request.spec.inputs_json["x"])


def test_a_chain_goes_on_with_what_an_extension_adds() -> None:
    chain = Chain(_released("abc"))
    assert _next(chain, "1") == ("b", "1")
    assert chain.extend(_extension("bcde"))
    assert [_next(chain, value) for value in "2345"] == [("c", "2"), ("d", "3"), ("e", "4"), None]


def test_a_chain_that_has_gone_on_meanwhile_keeps_the_outputs_that_further_steps_need() -> None:
    chain = Chain(_released("abcd"))
    assert [_next(chain, value) for value in "123"] == [("b", "1"), ("c", "2"), ("d", "3")]
    extension = _extension("bcdef")
    extension.successors[3].inputs["x"].step = 0
    assert chain.extend(extension)
    assert [_next(chain, value) for value in "45"] == [("e", "4"), ("f", "2")]
    assert chain.includes(_request("b").key)
    assert not chain.includes(_request("a").key)


def test_a_further_step_may_name_the_step_at_which_the_chain_was_extended() -> None:
    chain = Chain(_released("abc"))
    _next(chain, "1")
    extension = _extension("bcd")
    extension.successors[1].inputs["x"].step = 0
    assert chain.extend(extension)
    assert [_next(chain, value) for value in "23"] == [("c", "2"), ("d", "2")]


def test_an_extension_that_comes_twice_or_after_a_later_one_changes_nothing() -> None:
    chain = Chain(_released("abc"))
    _next(chain, "1")
    assert chain.extend(_extension("bcde"))
    assert chain.extend(_extension("bcde"))
    assert [_next(chain, value) for value in "23"] == [("c", "2"), ("d", "3")]
    assert chain.extend(_extension("defg"))
    assert not chain.extend(_extension("bcde"))
    assert [_next(chain, value) for value in "456"] == [("e", "4"), ("f", "5"), ("g", "6")]


@pytest.mark.parametrize(
    "extension",
    [
        _extension("bcde", generation=2),
        _extension("xcde"),
        # It has not begun: whoever names it knows of another chain.
        _extension("cde"),
    ],
)
def test_an_extension_after_another_step_or_issue_is_ignored(
    extension: step_pb2.ChainExtension,
) -> None:
    chain = Chain(_released("abc"))
    _next(chain, "1")
    assert not chain.extend(extension)
    assert [_next(chain, value) for value in "23"] == [("c", "2"), None]


@pytest.mark.parametrize("paths", ["b", "bx", "bdc"])
def test_an_extension_must_have_the_steps_that_have_begun(paths: str) -> None:
    chain = Chain(_released("abc"))
    _next(chain, "1")
    _next(chain, "2")
    assert not chain.extend(_extension(paths))


def test_a_chain_that_was_ended_does_not_go_on() -> None:
    chain = Chain(_released("abc"))
    _next(chain, "1")
    chain.ended = True
    assert not chain.extend(_extension("bcde"))
    assert _next(chain, "2") is None


def test_an_extension_changes_only_the_chain_of_its_own_issue() -> None:
    table = LeaseTable()
    table.offer(_released("abc", generation=2))
    lease = table.find(_request("a", 2).key)
    assert lease is not None
    assert lease.chain is not None
    for generation in (1, 3):
        table.extend(_extension("abcde", generation))
    assert not lease.chain.includes(_request("e", 2).key)
    table.extend(_extension("abcde", 2))
    assert lease.chain.includes(_request("e", 2).key)
