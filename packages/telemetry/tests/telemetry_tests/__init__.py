"""Tests of kaon-telemetry."""
