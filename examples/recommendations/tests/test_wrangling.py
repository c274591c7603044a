"""Cleaning, and the two sets of users."""

from __future__ import annotations

import pandas as pd
import pytest
from recommend import wrangling


def ratings(*rows: tuple[int, int, float, int]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["user", "item", "rating", "time"])


def users(*rows: tuple[int, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["user", "region"])


def test_of_two_ratings_of_one_item_the_newer_one_counts() -> None:
    table = wrangling.clean(ratings((1, 7, 5.0, 200), (1, 7, 2.0, 100)), users((1, "3")))
    assert table["rating"].tolist() == [5.0]


@pytest.mark.parametrize("rating", [0.0, 5.5, -1.0, float("nan")])
def test_a_rating_outside_of_the_scale_is_dropped(rating: float) -> None:
    table = wrangling.clean(ratings((1, 7, rating, 1), (1, 8, 3.0, 1)), users((1, "3")))
    assert table["item"].tolist() == [8]


def test_users_outside_of_the_cohort_are_left_out_and_the_others_have_their_region() -> None:
    table = wrangling.clean(ratings((1, 7, 3.0, 1), (2, 7, 4.0, 1)), users((2, "non-US")))
    assert table[["user", "region"]].to_numpy().tolist() == [[2, "non-US"]]


def test_the_order_of_the_rows_changes_nothing() -> None:
    rows = [(user, item, 3.0, 1) for user in range(5) for item in range(5)]
    cohort = users(*((user, "1") for user in range(5)))
    pd.testing.assert_frame_equal(
        wrangling.clean(ratings(*rows), cohort), wrangling.clean(ratings(*reversed(rows)), cohort)
    )


def test_every_user_is_in_one_set_and_both_are_of_about_the_same_size() -> None:
    rows = [(user, item, 3.0, 1) for user in range(400) for item in range(3)]
    table = wrangling.clean(ratings(*rows), users(*((user, "1") for user in range(400))))
    assert (table.groupby("user")["part"].nunique() == 1).all()
    assert 160 <= table[table["part"] == "A"]["user"].nunique() <= 240


def test_about_one_rating_in_five_is_held_out() -> None:
    rows = [(user, item, 3.0, 1) for user in range(50) for item in range(40)]
    table = wrangling.clean(ratings(*rows), users(*((user, "1") for user in range(50))))
    assert 0.17 <= table["holdout"].mean() <= 0.23
