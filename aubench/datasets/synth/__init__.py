"""synth: a rendered data set that needs no licence."""
