"""The report of a run: what every pass found, and what was chosen."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl

from kaon.step import StepContext

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

_REGIONAL, _GLOBAL, _LINE = "#2a6f97", "#e07a5f", "#3d405b"


def report(
    context: StepContext, history: list[Mapping[str, Any]], metrics: Mapping[str, float], rows: int
) -> None:
    """Writes the report as Markdown and as one HTML file with its plots inside."""
    plots = {
        "Error by region": _errors(history[-1]),
        "Convergence over the passes": _convergence(history),
    }
    context.artifact_path("markdown").write_text(
        _markdown(history, metrics, rows), encoding="utf-8"
    )
    context.artifact_path("html").write_text(_html(history, metrics, rows, plots), encoding="utf-8")
    for name, figure in zip(("error_plot", "convergence_plot"), plots.values(), strict=True):
        context.artifact_path(name).write_bytes(_png(figure))
        plt.close(figure)


def _errors(last: Mapping[str, Any]) -> Figure:
    choices = last["choices"]
    figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
    for name, colour, marker in (("regional", _REGIONAL, "o"), ("global", _GLOBAL, "D")):
        errors = [choice[f"{name}_rmse"] for choice in choices]
        axes.plot(
            range(len(choices)), errors, marker, color=colour, markersize=8, label=f"{name} model"
        )
    axes.set_xticks(range(len(choices)), [choice["region"] for choice in choices])
    axes.grid(axis="y", color="#e5e5e5")
    axes.margins(y=0.25)
    axes.set(xlabel="region (first digit of the zip code)", ylabel="RMSE on held-out ratings")
    axes.legend(frameon=False, ncols=2, loc="upper right")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _convergence(history: Sequence[Mapping[str, Any]]) -> Figure:
    figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
    passes = list(range(1, len(history) + 1))
    means = [each["mean"] for each in history]
    spread = [
        [each["mean"] - each["low"] for each in history],
        [each["high"] - each["mean"] for each in history],
    ]
    axes.errorbar(
        passes, means, yerr=spread, marker="o", capsize=5, color=_LINE, label="mean, 95 % interval"
    )
    places = [
        number for number, each in zip(passes, history, strict=True) for _ in each["overlaps"]
    ]
    overlaps = [value for each in history for value in each["overlaps"].values()]
    axes.scatter(places, overlaps, s=14, color=_REGIONAL, alpha=0.5, label="each model")
    threshold = history[-1]["threshold"]
    axes.axhline(threshold, color=_GLOBAL, linestyle="--", label=f"threshold {threshold:g}")
    axes.set_xticks(
        passes,
        [
            f"pass {number}\nshrinkage {each['shrinkage']:.1f}"
            for number, each in zip(passes, history, strict=True)
        ],
    )
    axes.set(ylabel="rank-biased overlap of A and B", ylim=(0, 1), xlim=(0.5, len(history) + 0.5))
    axes.legend(frameon=False, loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _pass_rows(history: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    return [
        [
            str(number),
            f"{each['shrinkage']:.2f}",
            f"{each['mean']:.3f}",
            f"{each['low']:.3f} to {each['high']:.3f}",
            "stable" if each["stable"] else "not stable",
        ]
        for number, each in enumerate(history, 1)
    ]


def _choice_rows(last: Mapping[str, Any]) -> list[list[str]]:
    return [
        [
            each["region"],
            f"{each['regional_rmse']:.4f}",
            f"{each['global_rmse']:.4f}",
            each["chosen"],
        ]
        for each in last["choices"]
    ]


_PASSES = ["pass", "shrinkage", "mean overlap", "95 % interval", "verdict"]
_CHOICES = ["region", "RMSE regional", "RMSE global", "chosen"]
_METHOD = (
    "The items are ranked twice for each model, from two sets of users who have nothing in common: for a region by the "
    "biases that its model gives them, for the global model by their mean deviation from what their users give on average, "
    "both drawn towards zero by the pass's shrinkage. The agreement of the two rankings is the extrapolated rank-biased "
    "overlap of their 50 best items (Webber, Moffat and Zobel 2010, persistence 0.95); the mean over all models has a "
    "percentile bootstrap interval (Efron 1979, 2,000 resamples). The models are stable when the interval's lower end "
    "reaches the threshold; if not, the next pass is regularised more, the further it is away the more."
)


def _markdown(history: Sequence[Mapping[str, Any]], metrics: Mapping[str, float], rows: int) -> str:
    return "\n".join(
        [
            "# Recommendations",
            "",
            f"Cohort of {rows} users in {int(metrics['regions'])} regions; RMSE of the chosen models {metrics['rmse']:.4f}.",
            "",
            "## Passes",
            "",
            _METHOD,
            "",
            *_table(_PASSES, _pass_rows(history)),
            "",
            "## Models",
            "",
            *_table(_CHOICES, _choice_rows(history[-1])),
            "",
        ]
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *rows)]


def _html(
    history: Sequence[Mapping[str, Any]],
    metrics: Mapping[str, float],
    rows: int,
    plots: Mapping[str, Figure],
) -> str:
    images = "".join(
        f'<h2>{title}</h2><img alt="{title}" src="data:image/png;base64,{base64.b64encode(_png(figure)).decode()}">'
        for title, figure in plots.items()
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Recommendations</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; color: #222; }}
table {{ border-collapse: collapse; }} th, td {{ padding: .3rem .9rem; border-bottom: 1px solid #ddd; text-align: left; }}
img {{ max-width: 100%; }}
</style></head><body>
<h1>Recommendations</h1>
<p>Cohort of {rows} users in {int(metrics["regions"])} regions; RMSE of the chosen models {metrics["rmse"]:.4f}.</p>
<h2>Passes</h2><p>{_METHOD}</p>{_html_table(_PASSES, _pass_rows(history))}
<h2>Models</h2>{_html_table(_CHOICES, _choice_rows(history[-1]))}{images}
</body></html>"""


def _html_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
