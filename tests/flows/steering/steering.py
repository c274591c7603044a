"""Steps that do as the test says: by files that it makes, and by signals."""

from __future__ import annotations

from pathlib import Path

from kaon.step import StepContext


def start(note: str) -> dict[str, list[str]]:
    """The items; executions of this step are noted, so that the test can count them."""
    with open(note, "a", encoding="utf-8") as file:
        file.write("start\n")
    return {"regions": ["eu", "us"]}


def work(region: str, fixed: str) -> dict[str, str]:
    """Fails for "us" until somebody has made the file `fixed`."""
    if region == "us" and not Path(fixed).exists():
        raise ValueError("us is broken")
    return {"result": region.upper()}


def hold(context: StepContext) -> dict[str, str]:
    """Runs until it gets the signal "go", and gives what it carries."""
    signal = context.wait_signal("go")
    return {"said": "" if signal is None else str(signal.payload)}


def join(results: list[str | None], said: str, greeting: str) -> dict[str, str]:
    """Everything in one text."""
    return {"text": f"{greeting} {'+'.join(result or '-' for result in results)} {said}"}
