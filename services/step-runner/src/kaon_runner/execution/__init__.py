"""The execution of one lease, from its start to its report."""
