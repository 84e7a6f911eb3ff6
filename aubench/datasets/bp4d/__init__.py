"""BP4D: reads a delivery and writes a store."""
