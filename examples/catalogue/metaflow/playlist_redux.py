"""Takes what the last successful run of another flow gave: Metaflow's tutorials/03-playlist-redux, 04-playlist-plus."""

from __future__ import annotations

from kaon import Workflow, last_run, param, steps


def choose(stats: dict[str, list[int]], genre: str) -> int:
    """Takes the upper quartile of a genre."""
    return stats[genre][-1]


before = last_run("stats", "movie-stats", outputs={"stats": dict}, timeout="1m")
genre = param("genre", str, default="Sci-Fi")
choosing = steps.python(
    "genre-movies", choose, stats=before["stats"], genre=genre, outputs={"from_gross": int}
)

workflow = Workflow(
    "playlist-redux", before >> choosing, outputs={"from_gross": choosing["from_gross"]}
)

# The run of statistics_by_genre.py, which goes on beside it.
EXPECTED = {"outputs": {"from_gross": 100}}
