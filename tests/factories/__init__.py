"""Factories of test data: records, leaderboards, run folders and BP4D deliveries."""
