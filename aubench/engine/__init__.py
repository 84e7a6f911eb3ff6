"""A run: training, prediction, checkpoints, seeds, FLOPs, tracking."""
