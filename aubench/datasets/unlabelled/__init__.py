"""Videos without labels, for pre-training."""
