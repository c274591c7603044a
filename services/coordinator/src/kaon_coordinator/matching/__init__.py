"""Matching: assigns the READY steps of a pool to its runners.

The matcher is pure: it does no I/O and reads no clock. It owns no truth and may be wrong or forgetful.
`matcher` is the entry point; `waiting` orders the requests, `fleet` knows the runners, and `placement`
matches them.
"""
