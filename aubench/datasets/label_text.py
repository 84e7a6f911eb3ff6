"""Lines of label files as spreadsheets, editors and other systems write them."""

from __future__ import annotations

from pathlib import Path

from aubench._util.zip_files import COPY_AGAIN
from aubench.core.errors import DataError

_LARGEST = 16 << 20


def read_lines(path: Path, largest: int = _LARGEST, *, has_names: bool = False) -> list[str]:
    """Read the lines of a text file, without blank ones at its end.

    Lines end with LF, CR LF or CR. The text is UTF-8 with or without a byte order mark, UTF-16 with one, or Latin-1.

    Args:
        path: File.
        largest: Number of bytes at most.
        has_names: Whether the text has names and paths. Otherwise UTF-16 beyond ASCII is a damaged file.

    Raises:
        DataError: The file cannot be read, is too large for a label file, or is not text.
    """
    try:
        if path.stat().st_size > largest:
            raise DataError("is too large for a label file", where=path, hint=COPY_AGAIN)
        content = path.read_bytes()
    except OSError as error:
        hint = None if isinstance(error, FileNotFoundError) else COPY_AGAIN
        raise DataError(f"cannot be read ({error.strerror})", where=path, hint=hint) from None
    lines = _decode(content, path, has_names).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    while len(lines) > 1 and not lines[-1].strip():
        lines.pop()
    return lines


def shorten(text: str, length: int = 60) -> str:
    """Cut a text for an error."""
    return text[:length] + "…" * (len(text) > length)


def _decode(content: bytes, path: Path, has_names: bool) -> str:
    is_utf_16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = content.decode("utf-16" if is_utf_16 else "utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    if (is_utf_16 and not has_names and not text.isascii()) or "\0" in text:
        raise DataError("is not text", where=path, hint=COPY_AGAIN)
    return text
