"""Gives the READY steps of a pool to its runners. Pure: no I/O, no clock; it owns no truth and may be wrong or forgetful.

`matcher` is the entrance; `waiting` orders what waits, `fleet` knows the runners, `placement` brings them together.
"""
