"""Tests of kaon-artifacts."""
