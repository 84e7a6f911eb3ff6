"""Engines that run folds on clusters, and the choice of an engine."""
