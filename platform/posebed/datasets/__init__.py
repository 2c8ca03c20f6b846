"""One module per dataset; the module's ``SPEC`` is its registration."""
