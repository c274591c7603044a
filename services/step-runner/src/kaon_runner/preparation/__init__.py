"""Preparation of a released step."""
