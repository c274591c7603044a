"""Steps of the recommendations workflow that are written in Python."""
