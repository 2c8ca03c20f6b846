"""The metric sketch, for posebed."""
