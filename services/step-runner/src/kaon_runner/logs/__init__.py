"""What steps print: lines for the log topic, and the whole log, bounded, for the artifact."""
