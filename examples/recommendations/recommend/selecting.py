"""Chooses a model for each region, and puts together what will be served."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import pandas as pd

from kaon.step import Artifact, StepContext
from recommend import serve

# Items with fewer ratings in the cohort are not shown: a few enthusiasts are not enough to recommend something to all.
LEAST_RATINGS = 20


def select(
    context: StepContext,
    regions: list[str],
    regional_models: list[Artifact],
    regional_rmse: list[float],
    global_model: Artifact,
    global_rmse: Mapping[str, float],
    ratings: Artifact,
    items: Artifact,
) -> dict[str, Any]:
    """For each region the model with the smaller error on what was held out; and the directory that the publisher serves."""
    choices = choose(regions, regional_rmse, global_rmse)
    table = pd.read_csv(ratings, dtype={"region": str})
    directory = context.artifact_path("model")
    directory.mkdir()
    document = served(
        choices, dict(zip(regions, regional_models, strict=True)), global_model, table, items
    )
    (directory / "model.json").write_text(json.dumps(document, sort_keys=True), encoding="utf-8")
    shutil.copyfile(Path(serve.__file__), directory / "serve.py")
    _write_metadata(directory, document)
    counts = table[table["holdout"]].groupby("region").size()
    rmse = _overall(choices, {str(region): int(count) for region, count in counts.items()})
    chosen = sum(choice["chosen"] == "regional" for choice in choices)
    print(f"{chosen} of {len(choices)} regions get a model of their own; RMSE {rmse:.4f}")
    return {
        "choices": choices,
        "metrics": {"rmse": rmse, "regions": len(choices), "regional_models": chosen},
    }


def choose(
    regions: Sequence[str], regional_rmse: Sequence[float], global_rmse: Mapping[str, float]
) -> list[dict[str, Any]]:
    """One choice for each region, with both errors."""
    return [
        {
            "region": region,
            "regional_rmse": error,
            "global_rmse": global_rmse[region],
            "chosen": "regional" if error < global_rmse[region] else "global",
        }
        for region, error in zip(regions, regional_rmse, strict=True)
    ]


def served(
    choices: Sequence[Mapping[str, Any]],
    regional: Mapping[str, Artifact],
    global_model: Artifact,
    ratings: pd.DataFrame,
    items: Artifact,
) -> dict[str, Any]:
    """Everything that `serve.Model` needs, as JSON."""
    known = pd.read_csv(items, dtype=str, keep_default_na=False)
    seen = ratings.groupby("user")["item"].apply(list)
    counts = ratings["item"].value_counts()
    shown = {str(item) for item in counts.index[counts >= LEAST_RATINGS]}
    region_of = ratings.drop_duplicates("user").set_index("user")["region"]
    return {
        "titles": dict(zip(known["item"], known["title"], strict=True)),
        "users": {
            str(user): {"region": str(region_of[user]), "seen": [str(item) for item in rated]}
            for user, rated in seen.items()
        },
        "regions": {
            choice["region"]: _regional(regional[choice["region"]], shown)
            if choice["chosen"] == "regional"
            else None
            for choice in choices
        },
        "user_factors": _factors(Path(global_model, "users.csv"), "user"),
        "item_factors": _only(shown, _factors(Path(global_model, "items.csv"), "item")),
        "popular": [
            str(item)
            for item in ratings["item"]
            .value_counts()
            .sort_index()
            .sort_values(ascending=False, kind="stable")
            .index[:50]
        ],
    }


def _regional(model: Artifact, shown: Set[str]) -> dict[str, Any]:
    """A regional model with both biases and its directions: what is served is what was validated."""
    weights = pd.read_csv(Path(model, "weights.csv")).iloc[0]
    return {
        "weights": {
            name: float(weights[name]) for name in ("mean", "intercept", "base", "direction")
        },
        "items": _only(shown, _factors(Path(model, "items.csv"), "item", ("bias", "f"))),
        "users": _factors(Path(model, "users.csv"), "user", ("bias", "f")),
    }


def _only(shown: Set[str], factors: Mapping[str, list[float]]) -> dict[str, list[float]]:
    return {item: values for item, values in factors.items() if item in shown}


def _factors(path: Path, name: str, prefixes: tuple[str, ...] = ("f",)) -> dict[str, list[float]]:
    table = pd.read_csv(path, dtype={name: str})
    columns = [column for column in table.columns if column.startswith(prefixes)]
    values = table[columns].round(5).to_numpy().tolist()
    return dict(zip(table[name], values, strict=True))


def _write_metadata(directory: Path, document: Mapping[str, Any]) -> None:
    """Says how the model is served, and a request whose answer the publisher must get."""
    user = min(document["users"], key=int)
    request = {"user": int(user), "n": 5}
    metadata = {
        "format": 1,
        "entry": "serve:Model",
        "probe": {
            "request": request,
            "expected": serve.Model(str(directory)).predict(request),
            "tolerance": 1e-6,
        },
    }
    (directory / "kaon-model.json").write_text(json.dumps(metadata, indent=2), encoding="utf-8")


def _overall(choices: Sequence[Mapping[str, Any]], counts: Mapping[str, int]) -> float:
    squares = [
        min(choice["regional_rmse"], choice["global_rmse"]) ** 2 * counts.get(choice["region"], 0)
        for choice in choices
    ]
    return float((sum(squares) / sum(counts.values())) ** 0.5)
