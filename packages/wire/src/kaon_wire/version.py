"""The version of all packages, services and images of Kaon: change it here and nowhere else."""

VERSION = "0.1.0"
