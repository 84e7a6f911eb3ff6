"""Reported results of papers, and their reproduction."""
