"""JavaScript that the Python packages itables (DataTables) and vl-convert-python (Vega) bring."""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path

from aubench._util.system import available_cores, can_fork
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


@contextmanager
def vega_meanwhile() -> Iterator[Callable[[], str]]:
    """Compute :func:`vega` in another process during the block, where the system can fork.

    Yields:
        A function that waits for the text.
    """
    if available_cores() < 2 or not can_fork():
        yield vega
        return
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_vega, args=(sender,), daemon=True)
    process.start()
    sender.close()

    def text() -> str:
        try:
            return str(receiver.recv())
        except EOFError:
            return vega()

    try:
        yield text
    finally:
        process.kill()
        process.join()
        receiver.close()


def _send_vega(sender: Connection) -> None:
    sender.send(vega())


@cache
def vega() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as a module that sets ``vegaEmbed``."""
    import vl_convert

    return str(vl_convert.javascript_bundle("globalThis.vegaEmbed = vegaEmbed;"))
