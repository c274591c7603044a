"""Tests of kaon-embedded."""
