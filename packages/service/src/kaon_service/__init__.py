"""Shared code of Kaon's services."""
