"""Official layouts to store, and store to batches."""
