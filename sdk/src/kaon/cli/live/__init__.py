"""The live view of a run."""

from kaon.cli.live.nodes import Node
from kaon.cli.live.tree import RunTree
from kaon.cli.live.view import RunView

__all__ = ["Node", "RunTree", "RunView"]
