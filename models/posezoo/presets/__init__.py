"""Published results as runs, by name: one module per paper, or dataset, whose tables they stand in."""
