"""Counts to F1, accuracy, AUC, intervals and baselines, and the record that holds them. Imports no torch."""
