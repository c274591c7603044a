"""The functions of the example of outcomes."""

from __future__ import annotations

from kaon.step import StepContext


def download(context: StepContext, size: int) -> dict[str, int]:
    """Give the size of what is new; there may be nothing."""
    if size == 0:
        context.skip("nothing new to download")
    return {"size": size}


def tell(
    download: str, why: dict[str, str] | None, convert: str, code: int | None
) -> dict[str, str]:
    """Say in words how the others have ended."""
    reason = f" ({why['message']})" if why else ""
    return {"text": f"download {download}{reason}, convert {convert} with code {code}"}
