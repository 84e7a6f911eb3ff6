"""Plain descriptions of values that a pydantic model refuses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_LENGTH = 60
_RULES = {
    "missing": "is missing",
    "extra_forbidden": "is no known key",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "finite_number": "must be a finite number",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "string_pattern_mismatch": "must match the pattern {pattern}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
}
"""Words for pydantic's types of errors, with the limits in their context."""
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "tuple": "a list",
    "list": "a list",
    "dict": "a table",
    "model": "a table",
    "path": "a path",
}
"""Words for the kinds of values, which begin the types of further errors."""
_KIND_ERROR = re.compile(rf"({'|'.join(_KINDS)})_(type|parsing|parsing_size|from_float|attributes_type)")


def problem(error: ErrorDetails) -> str:
    """Return the problem of a value, as a predicate such as ``must be at least 1``."""
    kind = error["type"]
    if kind in _RULES:
        limits = {key: f"{x:g}" if isinstance(x, float) else x for key, x in error.get("ctx", {}).items()}
        text = _RULES[kind].format(**limits)
        return text.replace(" 1 characters", " 1 character").replace(" 1 entries", " 1 entry")
    if match := _KIND_ERROR.fullmatch(kind):
        return f"must be {_KINDS[match[1]]}"
    text = error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return re.sub(r"^[A-Z][a-z]+ should ", "must ", text)


def problem_with_value(error: ErrorDetails) -> str:
    """Return the problem of a value, and the value if it is short."""
    value = error["input"]
    is_shown = isinstance(value, str | int | float | None) and error["type"] not in ("missing", "extra_forbidden")
    return f"{problem(error)} (got {_short(value)})" if is_shown else problem(error)


def _short(value: str | float | None) -> str:
    try:
        text = repr(value)
    except ValueError:  # an integer of thousands of digits
        return "a large number"
    return text if len(text) <= _LENGTH else f"{text[:_LENGTH]}…"
