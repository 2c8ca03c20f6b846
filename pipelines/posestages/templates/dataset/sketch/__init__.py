"""The dataset sketch, for posebed."""
