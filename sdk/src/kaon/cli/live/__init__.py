"""The live view of a run."""

from kaon.cli.live.tree import Node, RunTree
from kaon.cli.live.view import RunView

__all__ = ["Node", "RunTree", "RunView"]
