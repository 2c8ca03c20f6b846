"""Answering with trained models: on a part of a split, and on anybody's pictures."""
