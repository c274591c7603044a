"""What the runner says: events of steps, renewals, logs, heartbeats."""
