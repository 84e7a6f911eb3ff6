"""Figures of what methods show of themselves; one file a figure, computing and drawing apart."""
