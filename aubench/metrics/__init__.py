"""Scores, baselines, confidence intervals and significance tests, computed from counts and histograms."""
