"""Readers that convert each data set into a store."""
