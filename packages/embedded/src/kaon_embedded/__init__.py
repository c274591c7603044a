"""Kaon in one process, without a broker or a server."""
