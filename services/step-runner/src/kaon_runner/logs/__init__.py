"""Output of steps: lines for the log topic, and the whole log, bounded, for the artifact."""
