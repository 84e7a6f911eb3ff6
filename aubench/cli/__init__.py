"""One file a command: it parses, calls one function and prints. Nothing heavy is imported at module level."""
