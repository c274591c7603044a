"""Ends what a Spark Connect server still does for a client that is gone: `python -m ... SERVER SESSION`."""

from __future__ import annotations

import sys

from pyspark.sql import SparkSession

from kaon_runner.children.spark import session_url


def main() -> None:
    """Joins the session, interrupts all its operations and releases it."""
    server, session = sys.argv[1:]
    spark = SparkSession.builder.remote(session_url(server, session)).getOrCreate()
    spark.interruptAll()
    spark.stop()


if __name__ == "__main__":
    main()
