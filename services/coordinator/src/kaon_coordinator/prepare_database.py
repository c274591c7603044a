"""`python -m kaon_coordinator.prepare_database`: migrates the coordinators' database, grants roles what they need, and exits."""

from __future__ import annotations

import sys

from kaon_coordinator.store.migrate import MIGRATIONS
from kaon_service.audit import tables as audit
from kaon_service.preparing import Part, Rights, run

# A view service reads runs, and writes into the audit log who has looked.
PARTS = (Part(migrations=MIGRATIONS), Part(migrations=audit.MIGRATIONS, readers=Rights.WRITE))


def main() -> int:
    """Prepare the database; see `kaon_service.preparing.run`."""
    return run("prepare_database", "KAON_DATABASE", PARTS)


if __name__ == "__main__":
    sys.exit(main())
