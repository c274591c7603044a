"""Kaon's step-runner: takes leases, executes steps in supervised processes, and reports their outcomes."""
