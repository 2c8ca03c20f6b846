"""Who proposes the settings of a search: one module per sampler; the module's ``SPEC`` is its registration."""
