"""Input of a turn: records of the transport, and commands of the inbox."""
