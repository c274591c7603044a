"""Kaon's coordinator: accepts runs, decides what happens next, and matches ready steps with runners."""
