"""The partition of a run, a pool or a runner. All parts of Kaon must agree, so the hash is fixed here."""

from __future__ import annotations

import zlib


def partition_of(key: str, partitions: int) -> int:
    """Return the partition of `key` among `partitions`: CRC-32 (IEEE 802.3) of its UTF-8 form, modulo.

    Used for a run's id (stored in its row, then never computed again), a pool's name and a runner's
    incarnation.
    """
    return zlib.crc32(key.encode()) % partitions
