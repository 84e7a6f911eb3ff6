"""Commands without standard streams, as under ``nohup`` or cron, and on terminals without UTF-8."""

from __future__ import annotations

import io
import sys

from aubench._util import progress
from aubench._util.streams import repair_streams


def test_stream_of_another_encoding_escapes_what_it_lacks(monkeypatch):
    content = io.BytesIO()
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(content, encoding="ascii", write_through=True))
    repair_streams()
    print("F1 – 50 %", "file\udcff")
    print("é", file=sys.stderr)
    assert content.getvalue() == b"F1 \\u2013 50 % file\\udcff\n\\xe9\n"


def test_closed_streams_are_open_and_silent(monkeypatch):
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    repair_streams()
    for stream in (sys.stdout, sys.stderr):
        print("é", file=stream, flush=True)
        stream.close()
    assert sys.stdin.read() == ""
    sys.stdin.close()


def test_progress_of_a_program_without_stderr(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert not progress.is_terminal()
    progress.print_line("nothing to see")
