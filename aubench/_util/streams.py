"""Standard streams that exist and accept all text."""

from __future__ import annotations

import io
import os
import sys


def repair_streams() -> None:
    """Open closed standard streams on the null device, and let the others escape what they cannot encode.

    Without this, a file that is opened later gets the number of a closed stream and receives its output, and a table
    ends in an error if the stream's encoding is ASCII.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            number = os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is that of the stream
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, mode, encoding="utf-8"))  # noqa: PTH123, SIM115
        elif mode == "w" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
