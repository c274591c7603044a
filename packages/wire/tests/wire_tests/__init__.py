"""Tests of kaon-wire."""
