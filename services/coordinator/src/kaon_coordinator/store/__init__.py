"""What the coordinator must not forget: workflows, runs, their histories and rows, commands, ownership, archived log lines."""
