"""The kinds of blocks, one file each, and their table."""
