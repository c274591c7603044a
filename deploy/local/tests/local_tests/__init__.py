"""Tests of what starts Kaon locally."""
