"""Result files of a run: counts, histograms and the record."""
