"""The data directory of a broker that has never run: it names the broker's cluster, and holds the first record of its metadata."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from kaon_local.errors import StartFailed

_META = "meta.properties"
_CLUSTER = "cluster.id="
_FORMAT_SECONDS = 60


def stored_cluster_id(data: Path) -> str | None:
    """Return the cluster that a data directory names; None when it is not formatted."""
    meta = data / _META
    if not meta.exists():
        return None
    return next(
        line.removeprefix(_CLUSTER)
        for line in meta.read_text().splitlines()
        if line.startswith(_CLUSTER)
    )


def format_storage(
    java: Sequence[str], settings: Path, cluster_id: str, accounts: Sequence[str] = ()
) -> None:
    """Format the data directory that a broker's settings name, by Kafka's tool.

    Args:
        java: The JVM's command with its options.
        settings: The broker's `server.properties`.
        cluster_id: What the cluster is called from now on.
        accounts: Arguments of the tool that make the first accounts.

    Raises:
        StartFailed: The tool did not want to; with its words.
    """
    arguments = ("format", "--standalone", "-t", cluster_id, "-c", str(settings), *accounts)
    argv = (*java, "kafka.tools.StorageTool", *arguments)
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=_FORMAT_SECONDS, check=False
    )
    if done.returncode != 0:
        raise StartFailed(f"Kafka's storage could not be formatted: {done.stdout}{done.stderr}")


def copy_storage(formatted: Path, data: Path, cluster_id: str) -> None:
    """Make a data directory from another one that was formatted and never used, for a cluster of its own.

    The one voter among the metadata is the broker itself: it writes its address anew when it starts.
    """
    shutil.copytree(formatted, data, ignore=shutil.ignore_patterns(_META), dirs_exist_ok=True)
    lines = (formatted / _META).read_text().splitlines()
    kept = [line for line in lines if not line.startswith(_CLUSTER)]
    # The last of all: a directory that has it counts as formatted.
    (data / _META).write_text("\n".join([*kept, f"{_CLUSTER}{cluster_id}"]) + "\n")
