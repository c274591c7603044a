"""Kaon's contract: topics, partitions, codecs and the generated messages (`kaonapi`)."""
