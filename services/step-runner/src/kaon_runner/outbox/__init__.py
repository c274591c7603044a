"""The messages of the runner: events of steps, renewals, logs, heartbeats."""
