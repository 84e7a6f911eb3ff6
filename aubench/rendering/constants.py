"""Names of the subjects, tasks and AUs of synth."""

AUS = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)
"""AUs of BP4D; column ``i`` of every track is ``AUS[i]``."""

SUBJECTS = (*(f"F{n:03d}" for n in range(1, 24)), *(f"M{n:03d}" for n in range(1, 19)))
"""Names of the subjects, as in BP4D."""

TASKS = ("T1", "T2", "T3", "T4", "T5", "T6", "T7", "T8")
"""Names of the tasks, which are the sequences of each subject."""
