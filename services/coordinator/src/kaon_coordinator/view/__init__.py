"""The view service: lists, counts, aggregates, goes back in time and streams. It reads the database and decides nothing."""
