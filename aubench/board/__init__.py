"""Records to Markdown, and the checks that keep them honest. Imports no torch."""
