"""Reader of BP4D."""
