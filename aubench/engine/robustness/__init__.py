"""Finished runs under conditions: suites of them, evaluated at the cost of few."""
