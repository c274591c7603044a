"""The kinds of blocks, one file each, and the table of them."""
