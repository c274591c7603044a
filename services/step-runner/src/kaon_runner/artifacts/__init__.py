"""The artifact store, and local copies of what it holds."""
