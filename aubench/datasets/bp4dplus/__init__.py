"""Reader of BP4D+ as delivered by its owners."""
