"""The protocols: one TOML each."""
