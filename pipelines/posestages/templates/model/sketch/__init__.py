"""The model sketch, for posebed."""
