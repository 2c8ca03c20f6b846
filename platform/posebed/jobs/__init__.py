"""Experiments as jobs on a Ray cluster."""
