"""AugmentationValidator: whether augmented examples may be trained on, and their model be pushed."""
