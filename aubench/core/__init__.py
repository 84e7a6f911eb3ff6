"""Core types: tasks, methods, recipes, protocols, test conditions, and the registries that find them."""
