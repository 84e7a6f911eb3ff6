"""Figures of runs, methods, studies, data sets and the leaderboard."""
