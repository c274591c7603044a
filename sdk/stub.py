"""Writes sdk/src/kaon/dsl/steps.pyi: what type checkers and editors know of the functions that make steps.

python sdk/stub.py
"""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kaon import steps

STUB = Path(__file__).parent / "src" / "kaon" / "dsl" / "steps.pyi"
_HEADER = '''"""What type checkers and editors know of steps.py. Written by sdk/stub.py."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from kaon.dsl.datasets import Dataset
from kaon.dsl.locks import Lock
from kaon.dsl.policies import Duration, Memo, Resources, Retry
from kaon.dsl.producers import Step
from kaon.dsl.sidecars import Sidecar
from kaon.dsl.types import TypeLike
from kaon.dsl.values import Reference, Value

'''


def text() -> str:
    """The stub, formatted."""
    names = ", ".join(f'"{name}"' for name in steps.__all__)
    functions = (_function(name, getattr(steps, name)) for name in steps.__all__)
    written = "\n".join((f"{_HEADER}__all__ = [{names}]", *functions))
    ruff = (sys.executable, "-m", "ruff", "format", f"--stdin-filename={STUB}", "-")
    return subprocess.run(ruff, input=written, capture_output=True, text=True, check=True).stdout


def _function(name: str, function: Callable[..., Any]) -> str:
    signature = inspect.signature(function)
    parameters = ", ".join(_parameters(signature))
    return f"def {name}({parameters}) -> {signature.return_annotation}: ..."


def _parameters(signature: inspect.Signature) -> Iterator[str]:
    before = inspect.Parameter.POSITIONAL_ONLY
    for number, parameter in enumerate(signature.parameters.values()):
        if number and before is parameter.POSITIONAL_ONLY and parameter.kind is not before:
            yield "/"
        if parameter.kind is parameter.KEYWORD_ONLY and before is not parameter.KEYWORD_ONLY:
            yield "*"
        stars = "**" if parameter.kind is parameter.VAR_KEYWORD else ""
        default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        yield f"{stars}{parameter.name}: {parameter.annotation}{default}"
        before = parameter.kind


if __name__ == "__main__":
    STUB.write_text(text(), encoding="utf-8")
