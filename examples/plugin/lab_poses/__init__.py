"""A model, a dataset and a metric that live outside posebed."""
