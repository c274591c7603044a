"""The migrations of the coordinator's tables, one module each."""
