"""From annotated pictures to batches: reading, splitting, cropping, packing, encoding and loading."""
