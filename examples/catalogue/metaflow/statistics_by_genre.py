"""Quartiles of each genre, side by side, and a join to a dictionary: Metaflow's tutorials/02-statistics."""

from __future__ import annotations

import csv
from pathlib import Path

from kaon import Workflow, each, param, steps
from kaon.step import Artifact


def genres_of(movies: Artifact) -> list[str]:
    """Finds the genres."""
    return sorted({row["genre"] for row in csv.DictReader(Path(movies).read_text().splitlines())})


def quartiles(movies: Artifact, genre: str) -> list[int]:
    """Computes the quartiles of one genre."""
    rows = csv.DictReader(Path(movies).read_text().splitlines())
    gross = sorted(int(row["gross"]) for row in rows if row["genre"] == genre)
    return [gross[round((len(gross) - 1) * cut)] for cut in (0.25, 0.5, 0.75)]


def join(genres: list[str], quartiles: list[list[int]]) -> dict[str, list[int]]:
    """Merges the results, which come in the order of the genres."""
    return {"stats": dict(zip(genres, quartiles, strict=True))}  # type: ignore[dict-item]


movies = param("movies", "dataset")
start = steps.python("start", genres_of, movies=movies, outputs={"genres": list[str]})
genre = each("genre", start["genres"])
compute = steps.python(
    "compute-statistics", quartiles, movies=movies, genre=genre, outputs={"quartiles": list[int]}
)
joined = steps.python(
    "join",
    join,
    genres=start["genres"],
    quartiles=compute["quartiles"],
    outputs={"stats": dict[str, list[int]]},
)

workflow = Workflow(
    "movie-stats", start >> compute**genre >> joined, outputs={"stats": joined["stats"]}
)

EXPECTED = {
    "params": {"movies": "@movies.csv"},
    "outputs": {"stats": {"Crime": [24, 24, 67], "Sci-Fi": [80, 100, 100]}},
    "count": {"compute-statistics": 2},
}
