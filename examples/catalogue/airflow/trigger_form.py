"""A form of typed values at the start decides which steps run: Airflow's example_params_trigger_ui.py."""

from __future__ import annotations

from typing import Literal

from kaon import Workflow, branch, each, expr, param, steps, when
from kaon.dsl import Step

HELLO = {"english": "Hello", "german": "Hallo", "french": "Bonjour"}
names = param("names", list[str], default=["Linda", "Martha"], check="size(value) > 0")
languages = param("languages", list[Literal["english", "german", "french"]], default=["english"])
name = each("name", names)


def greet(language: str) -> Step:
    """Greets one person in one language."""
    return steps.shell(f"generate-{language}", ["echo", f"{HELLO[language]} ${{name}}!"], name=name)


ways = [
    branch(
        when(expr(f"'{language}' in chosen", chosen=languages), greet(language)),
        otherwise=None,
        name=language,
    )
    for language in HELLO
]
report = steps.shell("print-greetings", ["true"])

workflow = Workflow(
    "example-params-trigger-ui", (ways[0] | ways[1] | ways[2]) ** name >> report, parameters=[names]
)

EXPECTED = {
    "params": {"names": ["Ada"], "languages": ["german", "french"]},
    "count": {"generate-english": 0, "generate-german": 1, "generate-french": 1},
    "logs": {"names[Ada]/german=0/generate-german": "Hallo Ada!"},
}
