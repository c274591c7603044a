"""Kaon's web console: serves the page, logs people in, and passes the browser's calls on to the services."""
