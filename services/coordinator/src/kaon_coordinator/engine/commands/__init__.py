"""Commands to a run, one file each, and the run's start and continuation."""
