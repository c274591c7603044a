"""Cleans the cohort's ratings and makes the sets on which models are trained and compared."""

from __future__ import annotations

import hashlib
from typing import Any

import pandas as pd

from kaon.step import Artifact, StepContext

# One rating in so many is held out for validation.
HOLDOUT = 5


def wrangle(context: StepContext, cohort: Artifact, ratings: Artifact) -> dict[str, Any]:
    """Joins cohort and ratings, drops doubles, and marks each row with its user's set (A or B) and whether it is held out.

    The two sets of users are disjoint: models trained on one know nothing of the other.
    """
    users = pd.read_parquet(cohort)
    if users.empty:
        raise ValueError("the cohort is empty: lower min_ratings or raise max_regions")
    table = clean(pd.read_csv(ratings), users)
    table.to_parquet(context.artifact_path("global_set"), index=False)
    table.to_csv(context.artifact_path("regional_set"), index=False)
    regions = sorted(str(region) for region in users["region"].unique())
    print(f"{len(users)} users in {len(regions)} regions, {len(table)} ratings")
    return {"regions": regions}


def clean(ratings: pd.DataFrame, users: pd.DataFrame) -> pd.DataFrame:
    """The cohort's ratings: the newest of a user and an item, in the scale from 1 to 5, with region, set and holdout."""
    table = ratings[ratings["rating"].between(1, 5)].sort_values("time")
    table = table.drop_duplicates(["user", "item"], keep="last")
    table = table.merge(users[["user", "region"]], on="user")
    table["part"] = table["user"].map(part_of)
    table["holdout"] = [
        _hash(f"{user}/{item}") % HOLDOUT == 0
        for user, item in zip(table["user"], table["item"], strict=True)
    ]
    columns = ["user", "item", "rating", "region", "part", "holdout"]
    return table.sort_values(["user", "item"])[columns].reset_index(drop=True)


def part_of(user: int) -> str:
    """The set of a user: A or B, by a hash, so that it does not depend on anything else."""
    return "AB"[_hash(str(user)) % 2]


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
