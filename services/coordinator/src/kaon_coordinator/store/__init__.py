"""The store: workflows, runs with their histories and rows, commands, ownership, archived log lines."""
