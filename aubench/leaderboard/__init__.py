"""The leaderboard: from verified records to Markdown pages. Imports no torch."""
