"""Kaon's coordinator: accepts runs, decides what happens next, and hands ready steps to runners."""
