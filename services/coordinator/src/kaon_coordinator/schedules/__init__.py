"""Schedules: submit runs without a person, at times or after events."""
