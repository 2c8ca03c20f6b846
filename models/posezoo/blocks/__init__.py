"""Pieces that several models share unchanged."""
