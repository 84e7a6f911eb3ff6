"""JavaScript that the Python packages itables (DataTables) and vl-convert-python (Vega) bring."""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from aubench.core.errors import DataError

PACKAGES = {"itables": "itables", "vl_convert": "vl-convert-python", "markdown_it": "markdown-it-py"}
"""Modules of the libraries and the packages that install them."""
_EXPORTS = re.compile(r"\bexport\{([^{}]*)\};?")


def missing_packages() -> list[str]:
    """List the packages that the page needs and that are not installed."""
    return [package for module, package in PACKAGES.items() if find_spec(module) is None]


@cache
def datatables() -> str:
    """Return DataTables as a module that sets ``jQuery``, without its extensions' styles."""
    spec = find_spec("itables")
    assert spec is not None and spec.origin is not None
    text = Path(spec.origin).with_name("html").joinpath("dt_bundle.js").read_text(encoding="utf-8")
    exports = _EXPORTS.search(text)
    name = exports and re.search(r"([\w$]+) as jQuery\b", exports[1])
    if not exports or not name:
        raise DataError(
            "has no export of jQuery", where="itables", hint="install the version that constraints.txt names"
        )
    return f"{text[: exports.start()]}globalThis.jQuery={name[1]};{text[exports.end() :]}"


@cache
def vega() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as a module that sets ``vegaEmbed``."""
    import vl_convert

    return str(vl_convert.javascript_bundle("globalThis.vegaEmbed = vegaEmbed;"))
