"""Observability of Kaon's services: metrics, traces, logs."""
