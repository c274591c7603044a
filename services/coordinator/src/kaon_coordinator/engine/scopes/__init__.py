"""Scopes: what starts in them, stops and ends them or runs again in them, and what that means for the run."""
