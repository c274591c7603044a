"""`python -m kaon_publisher.prepare_database`: migrates the database of models, grants roles what they need, and exits."""

from __future__ import annotations

import sys

from kaon_publisher.store.migrate import MIGRATIONS
from kaon_service.audit import tables as audit
from kaon_service.preparing import Part, run

PARTS = (Part(migrations=MIGRATIONS), Part(migrations=audit.MIGRATIONS))


def main() -> int:
    """Prepare the database; see `kaon_service.preparing.run`."""
    return run("prepare_database", "KAON_PUBLISHER_DATABASE", PARTS)


if __name__ == "__main__":
    sys.exit(main())
