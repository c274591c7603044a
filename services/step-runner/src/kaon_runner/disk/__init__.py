"""Directories on this machine: of the runner and of each step."""
