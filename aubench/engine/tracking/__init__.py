"""Tracking by MLflow, as a function of folders."""
