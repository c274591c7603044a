"""What every service asks of its connections to PostgreSQL, so that neither side waits for ever for the other."""

from __future__ import annotations

# Seconds, as long as the coordinators' group waits for a member: whoever stops in the middle of a transaction (a frozen process, a
# machine off the network) holds its rows' locks no longer, so that its successor can go on.
PATIENCE = 10


def connect_arguments(options: str = "") -> dict[str, str | int]:
    """Arguments of libpq for a connection: a server that has vanished without a word is noticed.

    Args:
        options: further settings of the session, such as "-c timezone=UTC".
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
