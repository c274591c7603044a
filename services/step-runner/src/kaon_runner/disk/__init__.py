"""Directories of the runner and of its steps."""
