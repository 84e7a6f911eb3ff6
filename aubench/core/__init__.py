"""Core types: tasks, methods, recipes, protocols, test conditions, and registries."""
