"""The served model against the same predictions computed in another way, and the choice of models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from recommend import selecting, serve

from kaon.step import Artifact, StepContext

ITEMS = [str(number) for number in range(1, 31)]
USERS = list(range(1, 41))
RANK = 8


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """What step select makes of random models: region 0 with one of its own, region 1 served by the global one."""
    random = np.random.default_rng(5)
    regional = {
        region: _regional_model(tmp_path / f"regional-{region}", random) for region in ("0", "1")
    }
    ratings = pd.DataFrame(
        [
            # Item 30 has too few ratings to be shown.
            (user, int(item), 3.0, str(user % 2), "A", (user + int(item)) % 5 == 0)
            for user in USERS
            for item in ITEMS
            if (user * 7 + int(item)) % 4 and (item != "30" or user < 10)
        ],
        columns=["user", "item", "rating", "region", "part", "holdout"],
    )
    ratings.to_csv(tmp_path / "ratings.csv", index=False)
    titles = pd.DataFrame(
        {"item": ITEMS, "title": [f"Film {item}" for item in ITEMS], "year": "1995"}
    )
    titles.to_csv(tmp_path / "items.csv", index=False)
    context = _context(tmp_path / "step")
    made = selecting.select(
        context,
        regions=["0", "1"],
        regional_models=[_artifact(regional["0"]), _artifact(regional["1"])],
        regional_rmse=[0.9, 1.0],
        global_model=_artifact(_global_model(tmp_path / "global", random)),
        global_rmse={"0": 0.95, "1": 0.95},
        ratings=_artifact(tmp_path / "ratings.csv"),
        items=_artifact(tmp_path / "items.csv"),
    )
    assert [choice["chosen"] for choice in made["choices"]] == ["regional", "global"]
    return context.artifact_path("model")


def test_a_user_of_a_region_with_its_own_model_gets_what_that_predicts_best(
    model: Path, tmp_path: Path
) -> None:
    user = 2
    items = pd.read_csv(tmp_path / "regional-0" / "items.csv", dtype={"item": str}).set_index(
        "item"
    )
    person = pd.read_csv(tmp_path / "regional-0" / "users.csv").set_index("user").loc[user]
    weights = pd.read_csv(tmp_path / "regional-0" / "weights.csv").iloc[0]
    base = weights["mean"] + person["bias"] + items["bias"]
    direction = items[["f.1", "f.2"]].dot(person[["f.1", "f.2"]])
    expected = weights["intercept"] + weights["base"] * base + weights["direction"] * direction
    _assert_best(
        serve.Model(str(model)).predict({"user": user, "n": 5}), expected, _unseen(tmp_path, user)
    )


def test_a_user_of_another_region_gets_what_the_global_model_predicts_best(
    model: Path, tmp_path: Path
) -> None:
    user = 3
    items = pd.read_csv(tmp_path / "global" / "items.csv", dtype={"item": str}).set_index("item")
    person = pd.read_csv(tmp_path / "global" / "users.csv").set_index("user").loc[user]
    columns = [f"f{number}" for number in range(1, RANK + 1)]
    answer = serve.Model(str(model)).predict({"user": user, "n": 5})
    assert answer["model"] == "global"
    _assert_best(answer, items[columns].dot(person[columns]), _unseen(tmp_path, user))


def test_a_stranger_gets_what_is_popular(model: Path) -> None:
    answer = serve.Model(str(model)).predict({"user": 9999, "n": 3})
    assert (answer["model"], answer["region"], len(answer["items"])) == ("popular", None, 3)


@pytest.mark.parametrize("number", [0, 101, "5", 2.5])
def test_a_number_of_items_that_makes_no_sense_is_refused(model: Path, number: Any) -> None:
    with pytest.raises(ValueError, match="n must be a number from 1 to 100"):
        serve.Model(str(model)).predict({"user": 1, "n": number})


def test_the_probe_is_answered_as_it_says(model: Path) -> None:
    document = json.loads((model / "kaon-model.json").read_text(encoding="utf-8"))
    assert (document["format"], document["entry"]) == (1, "serve:Model")
    assert (
        serve.Model(str(model)).predict(document["probe"]["request"])
        == document["probe"]["expected"]
    )


def test_what_is_served_needs_the_standard_library_only(model: Path) -> None:
    imported = [
        line
        for line in (model / "serve.py").read_text().splitlines()
        if line.startswith(("import", "from"))
    ]
    assert imported == ["import heapq", "import json"]


def test_the_smaller_error_wins_and_a_tie_goes_to_the_global_model() -> None:
    choices = selecting.choose(["a", "b", "c"], [0.9, 1.1, 1.0], {"a": 1.0, "b": 1.0, "c": 1.0})
    assert [choice["chosen"] for choice in choices] == ["regional", "global", "global"]


def _assert_best(answer: dict[str, Any], expected: pd.Series, unseen: set[str]) -> None:
    best = (
        expected[[item in unseen for item in expected.index]].sort_values(ascending=False).head(5)
    )
    assert [each["item"] for each in answer["items"]] == best.index.tolist()
    # Factors are kept to five digits, scores to four.
    assert [each["score"] for each in answer["items"]] == pytest.approx(best.tolist(), abs=3e-4)
    assert answer["items"][0]["title"] == f"Film {best.index[0]}"


def _unseen(directory: Path, user: int) -> set[str]:
    ratings = pd.read_csv(directory / "ratings.csv", dtype={"item": str})
    return set(ITEMS) - {"30"} - set(ratings[ratings["user"] == user]["item"])


def _regional_model(directory: Path, random: np.random.Generator) -> Path:
    directory.mkdir()
    for name, keys in (("item", ITEMS), ("user", USERS)):
        table = pd.DataFrame(random.normal(size=(len(keys), 3)), columns=["bias", "f.1", "f.2"])
        table.insert(0, name, keys)
        table.to_csv(directory / f"{name}s.csv", index=False)
    weights = {"mean": 3.5, "intercept": -0.2, "base": 1.05, "direction": 0.3}
    pd.DataFrame([weights]).to_csv(directory / "weights.csv", index=False)
    return directory


def _global_model(directory: Path, random: np.random.Generator) -> Path:
    directory.mkdir()
    columns = [f"f{number}" for number in range(1, RANK + 1)]
    for name, keys in (("item", ITEMS), ("user", USERS)):
        table = pd.DataFrame(random.normal(size=(len(keys), RANK)), columns=columns)
        table.insert(0, name, keys)
        table.to_csv(directory / f"{name}s.csv", index=False)
    return directory


def _artifact(path: Path) -> Artifact:
    return Artifact(uri=f"file://{path}", path=path)


def _context(directory: Path) -> StepContext:
    outputs = {"model": "model", "choices": "list", "metrics": "map"}
    paths = {name: str(directory / name) for name in ("work", "artifacts")}
    return StepContext(
        {"step": "select", "outputs": outputs, "inputs": {}, "paths": paths}, lambda event: None
    )
