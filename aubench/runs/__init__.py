"""Runs: configuration, folds, scheduling and records."""
