"""Warm Python workers: long-lived processes that run one step after the other."""
