"""The migrations of the model registry's tables, one module each."""
