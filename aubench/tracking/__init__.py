"""Export of runs and studies to MLflow."""
