"""One module per kind of metric; the module's ``SPEC`` is its registration."""
