"""Removal of credentials from URLs."""

from __future__ import annotations

import re


def redact_url(text: str) -> str:
    """Replace user names and passwords in the URLs of a text."""
    return re.sub(r"://[^/\s]+@", "://***@", text)
