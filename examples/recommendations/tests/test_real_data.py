"""The first steps on the real data, by hand: what each gives is the next one's input. The whole job is in tests/e2e."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from by_hand import Ended, Steps

pytestmark = pytest.mark.real


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
