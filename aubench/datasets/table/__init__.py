"""Anybody's data: frames named in a table."""
