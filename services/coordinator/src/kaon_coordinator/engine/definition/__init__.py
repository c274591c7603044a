"""A workflow version, indexed for decisions, and the bounds of it and of its runs."""
