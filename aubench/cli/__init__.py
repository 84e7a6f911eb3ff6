"""Commands generated from the functions of the API. Nothing heavy is imported at module level."""
