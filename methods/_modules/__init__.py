# Installed as aubench.methods._modules.
"""Modules shared by several methods."""
