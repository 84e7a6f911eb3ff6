"""The licence-free dataset: a parametric face, its AUs, and how three sensors see it."""
