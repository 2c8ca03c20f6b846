"""Metrics, intervals and results, all computed from a table of predictions."""
