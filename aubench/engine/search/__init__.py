"""Searching a recipe: trials on the inner validation, which know nothing of the test role."""
