"""Inference on the test role: prediction, corruption of inputs, FLOPs."""
