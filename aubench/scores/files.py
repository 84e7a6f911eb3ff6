"""Reading files that a stranger may have written: bounded in size, plain, and byte for byte canonical."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

import pandas as pd

from aubench.errors import RecordError

COUNT = r"0|[1-9][0-9]{0,11}"
"""How a count is written: decimal, no sign, no leading zero, at most twelve digits."""


def read_bounded(path: Path, limit: int) -> bytes:
    """Read a regular file of at most ``limit`` bytes.

    Raises:
        RecordError: It is missing, a link, not a file, or larger.
    """
    if path.is_symlink() or not path.is_file():
        raise RecordError("is missing or not a plain file", where=path)
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise RecordError(f"is larger than {limit:,} bytes", where=path)
    return content


def read_table(
    path: Path, patterns: Mapping[str, str], numbers: Sequence[str], key: Sequence[str], *, rows: int, limit: int
) -> pd.DataFrame:
    """Read a CSV whose every byte is determined by its content.

    Args:
        path: The file.
        patterns: Columns in order, with the regular expression that each cell must match in full.
        numbers: The columns that become int64; the others stay text.
        key: Columns that together are unique and by which the rows are sorted.
        rows: Largest number of rows.
        limit: Largest number of bytes.

    Raises:
        RecordError: Anything is not as :func:`table_text` would have written it; file, line and column are named.
    """
    content = read_bounded(path, limit)
    if content.count(b"\n") > rows + 1:
        raise RecordError(f"has more than {rows:,} rows", where=path)
    try:
        text = content.decode("ascii")
        table = pd.read_csv(io.StringIO(text), dtype=str, na_filter=False)
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise RecordError(f"is not a table ({str(error).strip()})", where=path) from None
    if list(table.columns) != list(patterns):
        raise RecordError(f"its columns are not {_abridged(list(patterns))}", where=path)
    for name, pattern in patterns.items():
        bad = ~table[name].str.fullmatch(pattern)
        if bad.any():
            row = int(bad.to_numpy().argmax())
            raise RecordError(
                f"column {name}: '{table[name].iloc[row][:40]}' is not a valid value", where=f"{path}:{row + 2}"
            )
    table = sort_table(table.astype(dict.fromkeys(numbers, "int64")), key, where=path)
    _require_canonical(path, text, table_text(table))
    return table


def sort_table(table: pd.DataFrame, key: Sequence[str], *, where: object) -> pd.DataFrame:
    """Sort by ``key``, which must be unique.

    Raises:
        RecordError: Two rows share a key.
    """
    twice = table.duplicated(list(key))
    if twice.any():
        row = table.loc[twice, list(key)].iloc[0]
        raise RecordError(f"two rows for {', '.join(f'{name} {row[name]}' for name in key)}", where=where)
    return table.sort_values(list(key), ignore_index=True)


def table_text(table: pd.DataFrame) -> str:
    """The one way to write a table: comma, line feed, no quotes, no index."""
    return table.to_csv(index=False, lineterminator="\n")


def _require_canonical(path: Path, text: str, canonical: str) -> None:
    if text == canonical:
        return
    pairs = zip_longest(text.split("\n"), canonical.split("\n"))
    line = next(number for number, (ours, theirs) in enumerate(pairs, 1) if ours != theirs)
    raise RecordError(
        "is not written the canonical way (order of rows, quotes, spaces or line ends)", where=f"{path}:{line}"
    )


def _abridged(names: list[str]) -> str:
    return ", ".join(names if len(names) < 12 else [*names[:6], "…", names[-1]])
