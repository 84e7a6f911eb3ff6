"""Helpers without domain knowledge: atomic writes, seeds, CPU cores, compilation."""
