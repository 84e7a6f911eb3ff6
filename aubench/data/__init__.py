"""Stores of images and labels, and the batches made from them."""
