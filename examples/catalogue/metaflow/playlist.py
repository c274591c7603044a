"""A file that goes with the run, and two branches that are joined: Metaflow's tutorials/01-playlist."""

from __future__ import annotations

import csv
from pathlib import Path

from kaon import Workflow, param, steps
from kaon.step import Artifact


def titles(movies: Artifact, genre: str, count: int) -> list[str]:
    """Lists the films of the genre that made most."""
    rows = [
        row
        for row in csv.DictReader(Path(movies).read_text().splitlines())
        if row["genre"] == genre
    ]
    return [row["title"] for row in sorted(rows, key=lambda row: -int(row["gross"]))][:count]


def bonus(movies: Artifact, genre: str) -> str:
    """Takes a film of another genre."""
    rows = csv.DictReader(Path(movies).read_text().splitlines())
    return next(row["title"] for row in rows if row["genre"] != genre)


def join(playlist: list[str], extra: str) -> list[str]:
    """Puts both together."""
    return [*playlist, extra]


movies = param("movies", "dataset")
genre = param("genre", str, default="Sci-Fi")
top = steps.python(
    "genre-movies", titles, movies=movies, genre=genre, count=2, outputs={"titles": list[str]}
)
extra = steps.python("bonus-movie", bonus, movies=movies, genre=genre, outputs={"title": str})
joined = steps.python(
    "join", join, playlist=top["titles"], extra=extra["title"], outputs={"playlist": list[str]}
)

workflow = Workflow("playlist", (top | extra) >> joined, outputs={"playlist": joined["playlist"]})

EXPECTED = {
    "params": {"movies": "@movies.csv"},
    "outputs": {"playlist": ["Gravity", "Arrival", "Heat"]},
}
