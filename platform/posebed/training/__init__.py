"""The training loop, the engine under it, and predictions from a trained model."""
