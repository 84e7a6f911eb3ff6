"""The leaderboard as one HTML file with sortable tables and charts."""
