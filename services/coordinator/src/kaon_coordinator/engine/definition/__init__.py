"""Workflow versions, indexed for decisions, and the limits of definitions and runs."""
