"""Operators and verbs give the same definition, byte for byte; so does the same text again."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaon import (
    Part,
    Step,
    Workflow,
    WorkflowError,
    each,
    expr,
    for_each,
    group,
    load_workflow,
    parallel,
    repeat,
    sequence,
    steps,
    until,
)
from kaon_wire import canonical

EXAMPLES = Path(__file__).parents[3] / "examples"

# A tree: a leaf, or ("seq" | "par", trees), or a word and the tree that it is around.
Tree = str | tuple[str, "list[Tree] | Tree"]

leaves = st.just("leaf")
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["seq", "par"]), st.lists(inner, min_size=1, max_size=4)),
        st.tuples(st.sampled_from(["each", "repeat", "finally", "failure", "group", "any"]), inner),
    ),
    max_leaves=14,
)


@dataclass
class Names:
    """Gives out the same names in the same order, however often a tree is built."""

    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def step(self) -> Step:
        return steps.shell(f"s{next(self.numbers)}", argv=["true"])


def by_verbs(tree: Tree, names: Names) -> Part:
    if isinstance(tree, str):
        return names.step()
    kind, inner = tree
    match kind:
        case "seq":
            return sequence(*(by_verbs(each, names) for each in inner))
        case "par":
            return parallel(*(by_verbs(each, names) for each in inner))
        case "each":
            return for_each(each(f"i{next(names.numbers)}", [1, 2]), by_verbs(inner, names))  # type: ignore[arg-type]
        case "repeat":
            return repeat(
                by_verbs(inner, names), until=expr("true"), max_iterations=2, backoff="1s"
            )  # type: ignore[arg-type]
    return hooked(kind, by_verbs(inner, names), names)  # type: ignore[arg-type]


def hooked(kind: str, part: Part, names: Names) -> Part:
    """What the words of hooks, groups and rules make of a part; there are no operators for them."""
    match kind:
        case "finally":
            return part.finally_(names.step())
        case "failure":
            return part.on_failure(names.step() >> names.step())
        case "group":
            return group(part, timeout="1m", on_error="finish").optional()
    return names.step() >> group(part).when_any()


def by_operators(tree: Tree, names: Names) -> Part:
    if isinstance(tree, str):
        return names.step()
    kind, inner = tree
    if kind in ("seq", "par"):
        parts = [by_operators(each, names) for each in inner]
        joined = parts[0]
        for part in parts[1:]:
            joined = joined >> part if kind == "seq" else joined | part
        return joined
    if kind == "each":
        item = each(f"i{next(names.numbers)}", [1, 2])
        return by_operators(inner, names) ** item  # type: ignore[arg-type]
    if kind == "repeat":
        return by_operators(inner, names) ** until(expr("true"), max_iterations=2, backoff="1s")  # type: ignore[arg-type]
    return hooked(kind, by_operators(inner, names), names)  # type: ignore[arg-type]


def serialized(build: Callable[[Tree, Names], Part], tree: Tree) -> bytes:
    return Workflow("w", build(tree, Names())).definition().SerializeToString(deterministic=True)


@given(trees)
@settings(max_examples=300, deadline=None)
def test_operators_and_verbs_give_the_same_bytes(tree: Tree) -> None:
    assert serialized(by_operators, tree) == serialized(by_verbs, tree)


@given(trees)
@settings(max_examples=100, deadline=None)
def test_building_again_gives_the_same_bytes(tree: Tree) -> None:
    assert serialized(by_verbs, tree) == serialized(by_verbs, tree)


@given(trees)
@settings(max_examples=100, deadline=None)
def test_grouping_within_a_sequence_or_parallel_makes_no_difference(tree: Tree) -> None:
    def regrouped(inner: Tree, names: Names) -> Part:
        return sequence(parallel(sequence(by_verbs(inner, names))))

    assert serialized(regrouped, tree) == serialized(by_verbs, tree)


@given(trees)
@settings(max_examples=100, deadline=None)
def test_graphs_are_acyclic_with_sorted_edges_between_their_own_blocks(tree: Tree) -> None:
    def check(graph: object) -> None:
        names = [block.name for block in graph.blocks]  # type: ignore[attr-defined]
        edges = [(edge.source, edge.target) for edge in graph.edges]  # type: ignore[attr-defined]
        assert edges == sorted(set(edges))
        assert all(names.index(source) < names.index(target) for source, target in edges)
        phases = {block.name: block.phase for block in graph.blocks}  # type: ignore[attr-defined]
        assert all(phases[source] == phases[target] for source, target in edges)
        for block in graph.blocks:  # type: ignore[attr-defined]
            for kind in ("for_each", "repeat", "group"):
                if block.HasField(kind):
                    check(getattr(block, kind).body)

    check(Workflow("w", by_verbs(tree, Names())).definition().body)


@given(st.integers(2, 7), st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6))), st.data())
@settings(max_examples=300, deadline=None)
def test_a_reference_is_accepted_exactly_when_a_path_leads_from_its_step(
    count: int, pairs: set[tuple[int, int]], data: st.DataObject
) -> None:
    edges = {(low, high) for low, high in pairs if low < high < count}
    maker, user = data.draw(st.permutations(range(count)))[:2]
    made = [shell(f"s{number}", number, maker, user, None) for number in range(count)]
    reference = made[maker]["x"]
    made[user] = shell(f"s{user}", user, maker, user, reference)
    body = parallel(*made, *(made[low] >> made[high] for low, high in sorted(edges)))
    if reaches(edges, maker, user):
        Workflow("w", body)
    else:
        with pytest.raises(WorkflowError, match=f"input 'value' refers to s{maker}"):
            Workflow("w", body)


@pytest.mark.parametrize("seed", ["1", "2"])
def test_the_bytes_do_not_depend_on_the_order_of_sets(seed: str) -> None:
    code = (
        "from kaon import *\n"
        "s = [steps.shell(f's{n}', argv=['x'], b=1, a=2, outputs={'y': int, 'x': int}) for n in range(9)]\n"
        "w = Workflow('w', (s[8] | s[1] | s[5]) >> (s[3] | s[0]) >> (s[7] | s[2]), parameters={'q': 1, 'p': 2})\n"
        "print(w.version)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    # Written down: another value here means that every registered workflow gets a new version.
    assert (
        done.stdout.strip()
        == "sha256:f0759a6a67368ebdfc684c9904f9ea9dc9051edc807fe00cdef64887620d6b7c"
    )


@pytest.mark.parametrize(
    ("example", "digest"),
    [
        ("tour", "sha256:9697a7df1b4d12018d978f3a1ac403b803f2dcbfb7525b0486f4c4e8294f3328"),
        (
            "recommendations",
            "sha256:4234e77d83086152fe878cd1790dd1a43f3057bcb979bc91f2bdc52757c8fcc8",
        ),
    ],
)
def test_definitions_that_were_written_long_ago_keep_their_bytes(
    example: str, digest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    definition = load_workflow(EXAMPLES / example / "workflow.py").definition()
    definition.code_bundle = ""  # the code may change, the language must not
    assert canonical.digest_message(definition) == digest


@given(trees)
@settings(max_examples=100, deadline=None)
def test_hooks_given_to_the_workflow_are_those_of_its_body(tree: Tree) -> None:
    def serialize(*, to_workflow: bool) -> bytes:
        names = Names()
        body, alert, clean = by_verbs(tree, names), names.step(), names.step()
        if to_workflow:
            workflow = Workflow("w", body, on_failure=alert, finally_=clean)
        else:
            workflow = Workflow("w", body.on_failure(alert).finally_(clean))
        return workflow.definition().SerializeToString(deterministic=True)

    assert serialize(to_workflow=True) == serialize(to_workflow=False)


def shell(name: str, number: int, maker: int, user: int, value: object) -> Step:
    outputs = {"x": int} if number == maker else {}
    return steps.shell(
        name, argv=["true"], outputs=outputs, inputs={"value": value} if number == user else {}
    )


def reaches(edges: set[tuple[int, int]], start: int, goal: int) -> bool:
    reached, open_ends = {start}, [start]
    while open_ends:
        here = open_ends.pop()
        for low, high in edges:
            if low == here and high not in reached:
                reached.add(high)
                open_ends.append(high)
    return goal in reached
