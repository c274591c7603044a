"""What the web console costs and how quick it is: `make bench-console` prints each figure with its goal."""
