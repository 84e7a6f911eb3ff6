"""Stores of images and labels, fold splits, clips and batches."""
