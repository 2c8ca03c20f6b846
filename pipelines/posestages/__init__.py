"""The pipeline's stages, one module each, and the command line."""
