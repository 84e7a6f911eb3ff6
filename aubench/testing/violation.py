"""Error of a method that breaks its contract."""

from __future__ import annotations


class ContractViolation(Exception):
    """A breach of the contract by a method."""
