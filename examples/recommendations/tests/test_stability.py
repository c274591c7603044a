"""The statistic that decides about stability, in Scala, against values computed by hand and by a second implementation."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from by_hand import Ended, Steps, artifact

pytestmark = pytest.mark.real

PERSISTENCE = 0.95
OUTPUTS = {"stable": "bool", "next_shrinkage": "float", "history": "list"}


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Steps:
    return Steps(root=tmp_path_factory.mktemp("steps"))


def overlap(a: Sequence[str], b: Sequence[str]) -> float:
    """The extrapolated rank-biased overlap as its definition says, for lists of one length."""
    p, k = PERSISTENCE, len(a)
    agreement = [len(set(a[:d]) & set(b[:d])) / d for d in range(1, k + 1)]
    return agreement[-1] * p**k + (1 - p) / p * sum(x * p**d for d, x in enumerate(agreement, 1))


def test_the_second_implementation_gives_what_is_computed_by_hand() -> None:
    # Agreement 0 and 1 at depths 1 and 2: 1 * p^2 + (1 - p) / p * p^2 = p^2 + (1 - p) p = p.
    assert overlap(["1", "2"], ["2", "1"]) == pytest.approx(0.95)
    # Agreement 1, 1/2, 1/3: p^3 / 3 + (1 - p) / p * (p + p^2 / 2 + p^3 / 3).
    assert overlap(["1", "2", "3"], ["1", "4", "5"]) == pytest.approx(0.374583, abs=1e-6)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (["1", "2", "3"], ["1", "2", "3"], 1.0),
        (["1", "2", "3"], ["4", "5", "6"], 0.0),
        (["1", "2"], ["2", "1"], 0.95),
        (["1", "2", "3"], ["1", "4", "5"], 0.374583),
    ],
)
def test_overlap_of_small_lists(
    steps: Steps, tmp_path: Path, a: list[str], b: list[str], expected: float
) -> None:
    (found,) = _validate(steps, tmp_path, {"global": (a, b)})["overlaps"].values()
    assert found == pytest.approx(expected, abs=1e-6)


def test_overlap_of_long_lists_is_that_of_their_first_fifty(steps: Steps, tmp_path: Path) -> None:
    chance = random.Random(11)
    models = {}
    for name in ("0", "1", "2", "global"):
        items = [str(item) for item in range(200)]
        models[name] = (chance.sample(items, 120), chance.sample(items, 120))
    found = _validate(steps, tmp_path, models)["overlaps"]
    assert found == pytest.approx(
        {name: overlap(a[:50], b[:50]) for name, (a, b) in models.items()}
    )


def test_the_interval_holds_the_mean_and_lies_between_the_extremes(
    steps: Steps, tmp_path: Path
) -> None:
    same, other = ["1", "2", "3"], ["4", "5", "6"]
    found = _validate(
        steps,
        tmp_path,
        {"0": (same, same), "1": (same, other), "2": (same, same), "global": (same, other)},
    )
    assert found["mean"] == pytest.approx(0.5)
    # The mean of four draws of 0 or 1 is 0 with probability 1/16, over the 2.5 % of each tail.
    assert (found["low"], found["high"]) == (0.0, 1.0)


def test_lists_that_agree_are_stable_and_keep_the_shrinkage(steps: Steps, tmp_path: Path) -> None:
    ended = _run(steps, tmp_path, {"global": (["1", "2"], ["1", "2"])}, threshold=0.9)
    assert (ended.outputs["stable"], ended.outputs["next_shrinkage"]) == (True, 2.0)


def test_the_next_shrinkage_depends_on_how_far_the_result_is_from_the_threshold(
    steps: Steps, tmp_path: Path
) -> None:
    lists = (["1", "2", "3"], ["1", "4", "5"])  # overlap 0.374583
    near = _run(steps, tmp_path, {"global": lists}, threshold=0.38).outputs
    far = _run(steps, tmp_path, {"global": lists}, threshold=0.75).outputs
    assert (near["stable"], far["stable"]) == (False, False)
    # At least half more; otherwise by the third power of what is missing.
    assert near["next_shrinkage"] == pytest.approx(2.0 * 1.5)
    assert far["next_shrinkage"] == pytest.approx(2.0 * (0.75 / 0.374583) ** 3, rel=1e-4)


def test_earlier_passes_are_kept(steps: Steps, tmp_path: Path) -> None:
    earlier = {"shrinkage": 1.0, "stable": False}
    ended = _run(steps, tmp_path, {"global": (["1"], ["1"])}, history=[earlier])
    assert ended.outputs["history"][0] == earlier
    assert len(ended.outputs["history"]) == 2


def _validate(
    steps: Steps, directory: Path, models: Mapping[str, tuple[Sequence[str], Sequence[str]]]
) -> dict[str, Any]:
    found: dict[str, Any] = _run(steps, directory, models).outputs["history"][-1]
    return found


def _run(
    steps: Steps,
    directory: Path,
    models: Mapping[str, tuple[Sequence[str], Sequence[str]]],
    *,
    threshold: float = 0.25,
    history: Sequence[Mapping[str, Any]] = (),
) -> Ended:
    artifacts = {
        name: artifact(_model(directory / name, *lists), "model") for name, lists in models.items()
    }
    regions = [name for name in models if name != "global"]
    inputs = {
        "threshold": threshold,
        "shrinkage": 2.0,
        "regions": regions,
        "regional_models": [artifacts[region] for region in regions],
        "global_model": artifacts["global"],
        "choices": [],
        "history": list(history),
    }
    ended = steps.scala("scala/ValidateModel.scala", "ValidateModel", inputs, OUTPUTS)
    assert ended.code == 0, ended.text
    assert {event["kind"] for event in ended.events} == {"metric"}
    return ended


def _model(directory: Path, a: Sequence[str], b: Sequence[str]) -> Path:
    """A model whose items have these two orders; an item of one list only has no score of the other."""
    directory.mkdir(exist_ok=True)
    lines = ['"item","score_a","score_b"']
    lines += [f'"{item}",{_score(a, item)},{_score(b, item)}' for item in sorted({*a, *b}, key=int)]
    (directory / "items.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return directory


def _score(order: Sequence[str], item: str) -> str:
    return str(-order.index(item)) if item in order else "NA"
