"""From a release to a prepared step."""
