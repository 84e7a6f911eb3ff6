# Installed as aubench.methods.
"""Built-in methods, one file each."""
