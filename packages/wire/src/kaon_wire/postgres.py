"""Settings of every service's connections to PostgreSQL, so that neither side waits for ever for the other."""

from __future__ import annotations

# Seconds, as long as the coordinators' group waits for a member: a process that stops in the middle of a
# transaction (frozen, or off the network) then loses its rows' locks, so that its successor can go on.
PATIENCE = 10


def connect_arguments(options: str = "") -> dict[str, str | int]:
    """Return libpq's arguments for a connection that notices a vanished server.

    Args:
        options: Further settings of the session, such as "-c timezone=UTC".
    """
    return {
        "options": f"-c idle_in_transaction_session_timeout={PATIENCE}s {options}".strip(),
        "application_name": "kaon",
        "connect_timeout": PATIENCE,
        # Milliseconds.
        "tcp_user_timeout": PATIENCE * 1000,
        "keepalives_idle": PATIENCE // 2,
        "keepalives_interval": 2,
        "keepalives_count": 3,
    }
