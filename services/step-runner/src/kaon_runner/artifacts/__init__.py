"""The artifact store and local copies of its artifacts."""
