"""Tests of kaon-service."""
