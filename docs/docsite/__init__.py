"""The site of the documentation: the pages of this repository, and references generated from the code. `make docs` builds it."""
