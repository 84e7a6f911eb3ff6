"""Files that a run leaves behind: counts, histograms and the record."""
