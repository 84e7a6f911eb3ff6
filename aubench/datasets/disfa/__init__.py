"""DISFA and DISFA+."""
