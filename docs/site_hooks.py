"""Hooks of the documentation site: links to files outside of `docs/` lead to the repository."""

from __future__ import annotations

import re
from typing import Any

OUTSIDE = re.compile(r"(?<=\]\()\.\./(?=[\w.])")


def on_page_markdown(markdown: str, *, config: Any, **_: Any) -> str:
    """Replace relative links out of `docs/` by addresses in the repository."""
    return OUTSIDE.sub(f"{config['repo_url']}/blob/main/", markdown)
