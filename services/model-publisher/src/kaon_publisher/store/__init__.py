"""The model registry: its tables and rows, and the transactions around them."""
