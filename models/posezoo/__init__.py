"""The zoo: one module per paper. A module with a ``SPEC`` is a model; nothing else registers it."""
