"""What can go wrong around a service."""

from kaon_wire.errors import Unavailable


class DatabaseUnavailable(Unavailable):
    """The database refuses for the moment. Its own words stand in the text, for the log: no client is told them."""
