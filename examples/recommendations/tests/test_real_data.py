"""The steps of one pass on the real data, by hand: what each gives is the next one's input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from by_hand import Ended, Steps

pytestmark = pytest.mark.real

SCORES = {"stable": "bool", "next_shrinkage": "float", "history": "list"}


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory, engines: dict[str, str]) -> Steps:
    return Steps(root=tmp_path_factory.mktemp("steps"), env=engines)


@pytest.fixture(scope="module")
def tables(steps: Steps, data: Path) -> dict[str, Any]:
    """Users, ratings and items as the workflow imports them."""
    declared = {"users": "dataset", "ratings": "dataset", "items": "dataset"}
    return dict(
        _good(
            steps.python("recommend.importing:import_data", {"data": str(data)}, declared)
        ).outputs
    )


@pytest.mark.parametrize(("regions", "users"), [(3, 294), (11, 943)])
def test_the_cohort_has_as_many_regions_as_are_asked_for(
    steps: Steps, tables: dict[str, Any], regions: int, users: int
) -> None:
    cohort = _cohort(steps, tables, min_ratings=20, max_regions=regions)
    assert cohort["rows"] == users
    wrangled = _wrangle(steps, tables, cohort)
    assert wrangled["regions"] == [str(digit) for digit in range(10)][:regions] + ["non-US"] * (
        regions == 11
    )


def test_users_with_fewer_ratings_than_asked_for_are_left_out(
    steps: Steps, tables: dict[str, Any]
) -> None:
    cohort = _cohort(steps, tables, min_ratings=300, max_regions=11)
    ratings = pd.read_csv(tables["ratings"]["artifact"]["path"])["user"].value_counts()
    found = pd.read_parquet(cohort["users"]["artifact"]["path"])
    assert set(found["user"]) == set(ratings.index[ratings >= 300])


def test_a_parameter_is_a_value_and_never_a_part_of_the_query(
    steps: Steps, tables: dict[str, Any]
) -> None:
    evil = "20 OR 1 = 1"
    inputs = {
        "users": tables["users"],
        "ratings": tables["ratings"],
        "min_ratings": evil,
        "max_regions": 3,
    }
    ended = steps.hive("sql/cohort.sql", inputs, {"users": "dataset", "rows": "int"})
    (error,) = [event for event in ended.events if event["kind"] == "error"]
    # The server has to compare a number with this text, and cannot. As a part of the query it would have let everybody in.
    assert (ended.code, error["type"], ended.outputs) == (1, "EngineError", {})


def test_an_empty_cohort_is_refused_in_words(steps: Steps, tables: dict[str, Any]) -> None:
    cohort = _cohort(steps, tables, min_ratings=100_000, max_regions=7)
    assert cohort["rows"] == 0
    inputs = {"cohort": cohort["users"], "ratings": tables["ratings"]}
    ended = steps.python("recommend.wrangling:wrangle", inputs, {"regions": "list"})
    (error,) = [event for event in ended.events if event["kind"] == "error"]
    assert ended.code == 1
    assert "the cohort is empty: lower min_ratings or raise max_regions" in error["message"]


@pytest.mark.parametrize("regions", [3])
def test_the_first_pass_is_unstable_and_the_next_one_that_it_asks_for_is_stable(
    steps: Steps, tables: dict[str, Any], regions: int
) -> None:
    wrangled = _wrangle(steps, tables, _cohort(steps, tables, min_ratings=20, max_regions=regions))
    first = _pass(steps, tables, wrangled, shrinkage=2.0, history=[])
    assert not first["stable"]
    assert first["next_shrinkage"] > 2.0
    second = _pass(
        steps, tables, wrangled, shrinkage=first["next_shrinkage"], history=first["history"]
    )
    assert second["stable"]
    assert [each["stable"] for each in second["history"]] == [False, True]
    _check_report(steps, second, regions)


def _check_report(steps: Steps, last: dict[str, Any], regions: int) -> None:
    declared = {
        "markdown": "text",
        "html": "text",
        "error_plot": "plot",
        "convergence_plot": "plot",
    }
    inputs = {"history": last["history"], "metrics": last["metrics"], "rows": 294}
    made = _good(steps.python("recommend.reporting:report", inputs, declared)).outputs
    texts = [
        Path(made[name]["artifact"]["path"]).read_text(encoding="utf-8")
        for name in ("markdown", "html")
    ]
    assert all("not stable" in text and f"294 users in {regions} regions" in text for text in texts)
    assert texts[1].count("data:image/png;base64,") == 2
    for name in ("error_plot", "convergence_plot"):
        assert Path(made[name]["artifact"]["path"]).read_bytes().startswith(b"\x89PNG")


def _pass(
    steps: Steps,
    tables: dict[str, Any],
    wrangled: dict[str, Any],
    *,
    shrinkage: float,
    history: list[Any],
) -> dict[str, Any]:
    trained = _train_global(steps, wrangled, shrinkage)
    models, errors = _train_regions(steps, wrangled, shrinkage)
    chosen = _good(
        steps.python(
            "recommend.selecting:select",
            {
                "regions": wrangled["regions"],
                "regional_models": models,
                "regional_rmse": errors,
                "global_model": trained["model"],
                "global_rmse": trained["by_region"],
                "ratings": wrangled["regional_set"],
                "items": tables["items"],
            },
            {"model": "model", "choices": "list", "metrics": "map"},
        )
    ).outputs
    inputs = {
        "threshold": 0.25,
        "shrinkage": shrinkage,
        "regions": wrangled["regions"],
        "regional_models": models,
        "global_model": trained["model"],
        "choices": chosen["choices"],
        "history": history,
    }
    ended = _good(steps.scala("scala/ValidateModel.scala", "ValidateModel", inputs, SCORES))
    return {**ended.outputs, "metrics": chosen["metrics"]}


def _train_global(steps: Steps, wrangled: dict[str, Any], shrinkage: float) -> dict[str, Any]:
    inputs = {"ratings": wrangled["global_set"], "shrinkage": shrinkage}
    declared = {"model": "model", "predictions": "dataset"}
    trained = _good(steps.spark("recommend.training:train_global", inputs, declared)).outputs
    entry, wanted = "recommend.training:validate_global", {"rmse": "float", "by_region": "map"}
    validated = _good(steps.spark(entry, {"predictions": trained["predictions"]}, wanted)).outputs
    assert validated["rmse"] < _error_of_the_mean(wrangled)
    return {**trained, **validated}


def _error_of_the_mean(wrangled: dict[str, Any], region: str | None = None) -> float:
    """The error of one who knows only the mean rating: what every model must beat."""
    table = pd.read_csv(wrangled["regional_set"]["artifact"]["path"], dtype={"region": str})
    table = table if region is None else table[table["region"] == region]
    known, held_out = table[~table["holdout"]]["rating"], table[table["holdout"]]["rating"]
    return float(((held_out - known.mean()) ** 2).mean() ** 0.5)


def _train_regions(
    steps: Steps, wrangled: dict[str, Any], shrinkage: float
) -> tuple[list[Any], list[float]]:
    models, errors = [], []
    for region in wrangled["regions"]:
        inputs = {"ratings": wrangled["regional_set"], "region": region}
        trained = _good(
            steps.r("r/train.R", {**inputs, "shrinkage": shrinkage}, {"model": "model"})
        ).outputs
        wanted = {"rmse": "float", "count": "int"}
        validated = _good(
            steps.r("r/validate.R", {**inputs, "model": trained["model"]}, wanted)
        ).outputs
        assert validated["rmse"] < _error_of_the_mean(wrangled, region)
        models.append(trained["model"])
        errors.append(validated["rmse"])
    return models, errors


def _cohort(
    steps: Steps, tables: dict[str, Any], *, min_ratings: int, max_regions: int
) -> dict[str, Any]:
    inputs = {
        "users": tables["users"],
        "ratings": tables["ratings"],
        "min_ratings": min_ratings,
        "max_regions": max_regions,
    }
    return dict(
        _good(steps.hive("sql/cohort.sql", inputs, {"users": "dataset", "rows": "int"})).outputs
    )


def _wrangle(steps: Steps, tables: dict[str, Any], cohort: dict[str, Any]) -> dict[str, Any]:
    inputs = {"cohort": cohort["users"], "ratings": tables["ratings"]}
    declared = {"global_set": "dataset", "regional_set": "dataset", "regions": "list"}
    return dict(_good(steps.python("recommend.wrangling:wrangle", inputs, declared)).outputs)


def _good(ended: Ended) -> Ended:
    assert ended.code == 0, f"{ended.text}\n{ended.events}"
    return ended
