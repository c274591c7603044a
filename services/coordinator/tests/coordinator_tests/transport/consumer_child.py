"""A member in a process of its own, to be killed. What it applies is in a file before it is acknowledged, as with a database."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterable, Sequence

import uvloop

from kaon_coordinator.transport.base import Incoming
from kaon_coordinator.transport.faust import FaustSettings, FaustTransport
from kaon_wire.topics import Catalogue


class Applying:
    """Writes each batch with one call; a kill falls before or after it, or between it and the acknowledgement."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def on_assigned(self, topic: str, partitions: Iterable[int]) -> None:
        self._write(f"assigned {topic}\n")

    async def on_revoked(self, topic: str, partitions: Iterable[int]) -> None:
        self._write(f"revoked {topic}\n")

    async def on_batch(self, records: Sequence[Incoming]) -> None:
        await asyncio.sleep(0.002)
        self._write(
            "".join(
                f"{record.partition} {record.offset} {record.value.decode()}\n"
                for record in records
            )
        )
        await asyncio.sleep(0.002)

    def _write(self, text: str) -> None:
        os.write(self._file, text.encode())


async def main(address: str, path: str, run_partitions: int, pool_partitions: int) -> None:
    catalogue = Catalogue(run_partitions=run_partitions, pool_partitions=pool_partitions)
    settings = FaustSettings(session=3.0, heartbeat=0.5, commit_interval=0.1)
    transport = FaustTransport(address, catalogue=catalogue, settings=settings)
    await transport.start(Applying(path))
    await transport.failed()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
