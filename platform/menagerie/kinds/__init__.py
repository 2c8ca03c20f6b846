"""What can be drawn: one module per group of categories, each ending in its ``Kind``s."""
