"""Helpers of the step protocol in other languages: `kaon.R` and `Kaon.scala`, one file each."""
