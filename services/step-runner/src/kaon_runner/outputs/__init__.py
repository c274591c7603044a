"""Output values of steps: declared and actual ones."""
