"""Reader of predictions made elsewhere: tables of probabilities as Parquet or CSV, which are untrusted."""

from __future__ import annotations

import csv
import re
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from aubench.core import system_files
from aubench.core.errors import DataError, UsageError

TEXT = ("subject", "sequence")
OPTIONAL = ("fold", "condition")
"""Columns that a file may lack."""

_MAX_BYTES = 2**30
_MAX_CELLS = 200_000_000
_SUFFIXES = (".parquet", ".csv")
_PATTERNS = ("fold*/predictions.*", "predictions.*", "*")
"""Files of a folder; the first pattern with matches counts."""
_NO_PICKLE = "give Parquet or CSV files; other formats are not read"


class PredictionTable(NamedTuple):
    """Content of a file of predictions.

    Attributes:
        path: File.
        keys: Columns ``subject``, ``sequence`` and ``condition`` (text), ``frame`` (int64), and ``fold`` (text, None if
            the file states no fold).
        probs: float32 (rows, AUs), 0 to 1.
    """

    path: Path
    keys: pd.DataFrame
    probs: npt.NDArray[np.float32]


def find_files(paths: Sequence[Path]) -> list[Path]:
    """List the files of predictions among files and folders.

    A folder has folders of folds with a file ``predictions`` each, or such a file, or any Parquet and CSV files.

    Raises:
        UsageError: There is no path.
        DataError: A path does not exist, or a folder has no such files.
    """
    if not paths:
        raise UsageError("no predictions", hint="name files or folders of predictions")
    files: list[Path] = []
    for path in paths:
        if path.is_file():
            files.append(path)
        elif path.is_dir():
            files += _files_in(path)
        else:
            raise DataError("no such file or folder", where=path, hint="give files of predictions, or their folder")
    return files


def _files_in(folder: Path) -> list[Path]:
    for pattern in _PATTERNS:
        matches = [path for path in sorted(folder.glob(pattern)) if path.suffix in _SUFFIXES and path.is_file()]
        if files := [path for path in matches if not system_files.is_system_file(path.name)]:
            return files
    raise DataError("has no Parquet or CSV files", where=folder, hint="give the files of predictions")


def read_predictions(path: Path, aus: Sequence[int]) -> PredictionTable:
    """Read a file of predictions. Columns without a meaning here are left out.

    Args:
        path: Parquet or CSV file of at most 1 GiB.
        aus: AUs whose columns ``p_AU<n>`` are read.

    Raises:
        DataError: The file is too large, of another format, or damaged, a column is missing, or a value is not a whole
            number (``frame``) or not a probability (``p_AU<n>``).
    """
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise DataError(f"has {size:,} bytes, more than {_MAX_BYTES:,}", where=path, hint="split it into several files")
    columns = [f"p_AU{au}" for au in aus]
    required = [*TEXT, "frame", *columns]
    try:
        with path.open("rb") as stream:
            is_parquet = stream.read(4) == b"PAR1"
        raw = (_read_parquet if is_parquet else _read_csv)(path, required)
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})", where=path) from None
    if raw.empty:
        raise DataError("has no rows", where=path)
    keys = pd.DataFrame({name: _text(raw, name, path) for name in TEXT})
    keys["frame"] = _whole_numbers(raw["frame"], path)
    keys["condition"] = _text(raw, "condition", path) if "condition" in raw else "clean"
    keys["fold"] = _text(raw, "fold", path).str.removesuffix(".0") if "fold" in raw else _fold_of_folder(path)
    return PredictionTable(path, keys, _probabilities(raw, columns, keys, path))


def describe(row: pd.Series[Any]) -> str:
    """Format the key of a row for an error message."""
    condition = "" if row["condition"] == "clean" else f", condition {row['condition']}"
    fold = "" if row["fold"] is None else f", fold {row['fold']}"
    return f"subject {row['subject']}, sequence {row['sequence']}, frame {row['frame']}{fold}{condition}"


def _read_parquet(path: Path, required: Sequence[str]) -> pd.DataFrame:
    import pyarrow.parquet as pq

    with path.open("rb") as stream:  # pyarrow opens only paths in UTF-8
        try:
            file = pq.ParquetFile(stream)
            schema, rows = file.schema_arrow, file.metadata.num_rows
            columns = _require_columns(schema.names, required, path)
            if rows * len(columns) > _MAX_CELLS:
                what = f"has {rows:,} rows, more than {_MAX_CELLS // len(columns):,}"
                raise DataError(what, where=path, hint="split it into several files")
            texts = [name for name in columns if schema.field(name).type in ("string", "large_string")]
            table = pq.ParquetFile(stream, read_dictionary=texts).read(columns=columns)
            return pd.DataFrame({name: table[name].to_pandas() for name in columns})
        except DataError:
            raise
        except Exception as error:  # pyarrow raises many types for a damaged file
            what = f"cannot be read as Parquet ({type(error).__name__})"
            raise DataError(what, where=path, hint="write the file again") from None


def _read_csv(path: Path, required: Sequence[str]) -> pd.DataFrame:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            lines = iter(partial(stream.readline, 2**20), "")
            header = next((line for line in lines if line.strip()), "")
        names = [name.strip() for name in next(csv.reader([header]), [])]
        columns = _require_columns(names, required, path)
        unique = [name if name in columns else f"column {i}" for i, name in enumerate(names)]  # others are not read
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(  # all columns, since usecols hides rows with too many cells
                path,
                encoding="utf-8-sig",
                names=unique,
                header=0,
                index_col=False,
                dtype=dict.fromkeys((*TEXT, *OPTIONAL), "str"),
                keep_default_na=False,
                skipinitialspace=True,
                low_memory=False,
            )
        return table[columns]
    except (UnicodeDecodeError, csv.Error):
        raise DataError("is neither Parquet nor text in UTF-8", where=path, hint=_NO_PICKLE) from None
    except (ValueError, pd.errors.ParserWarning) as error:  # pandas' ParserError is a ValueError
        text = str(error).removeprefix("Error tokenizing data. C error: ")
        raise DataError(f"cannot be read as CSV ({text[:120]})", where=path, hint="write the file again") from None


def _require_columns(names: Sequence[str], required: Sequence[str], path: Path) -> list[str]:
    """Return the columns to read."""
    if not names:
        raise DataError("is empty", where=path, hint="write a header and one row for each test frame")
    if missing := [name for name in required if name not in names]:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        held = ", ".join(names[:6])[:100]
        hint = f"its columns are {held}{', …' if len(names) > 6 else ''}"
        if len(names) == 1 and re.search("[;\t]", names[0]):
            hint += "; separate cells by commas, and write decimal points"
        raise DataError(f"has no column {missing[0]}{more}", where=path, hint=hint)
    columns = [*required, *(name for name in OPTIONAL if name in names)]
    if twice := [name for name in columns if names.count(name) > 1]:
        raise DataError(f"has {names.count(twice[0])} columns {twice[0]}", where=path, hint="keep one of them")
    return columns


def _text(raw: pd.DataFrame, name: str, path: Path) -> pd.Series[Any]:
    values = raw[name].astype("str")
    empty = raw[name].isna() | (values == "")
    if empty.any():
        what = f"rows without {name}: {int(empty.sum()):,} (first: row {int(empty.argmax()) + 1:,})"
        raise DataError(what, where=path)
    return values


def _whole_numbers(values: pd.Series[Any], path: Path) -> npt.NDArray[np.int64]:
    numbers = _numbers(values)
    wrong = ~(np.isfinite(numbers) & (numbers == np.rint(numbers)) & (np.abs(numbers) < 2**31))
    if wrong.any():
        first = int(wrong.argmax())
        what = f"frames that are not whole numbers: {int(wrong.sum()):,}"
        raise DataError(f"{what} (first: {_short(values.iloc[first])} in row {first + 1:,})", where=path)
    return numbers.astype(np.int64)


def _probabilities(
    raw: pd.DataFrame, columns: Sequence[str], keys: pd.DataFrame, path: Path
) -> npt.NDArray[np.float32]:
    probs = np.empty((len(raw), len(columns)), np.float32)
    not_numbers, outside = np.zeros(probs.shape, bool), np.zeros(probs.shape, bool)
    for i, name in enumerate(columns):
        values = _numbers(raw[name])
        not_numbers[:, i] = np.isnan(values)
        outside[:, i] = (values < 0) | (values > 1)
        probs[:, i] = values.clip(0, 1)
    for wrong, what, hint in (
        (not_numbers, "values that are not numbers", "predict every AU of every frame"),
        (outside, "values outside 0 to 1", "give probabilities; apply the sigmoid to logits"),
    ):
        if wrong.any():
            row, column = np.argwhere(wrong)[0].tolist()
            value = f"{columns[column]} is {_short(raw[columns[column]].iloc[row])}"
            first = f"first: {value} in row {row + 1:,}, {describe(keys.iloc[row])}"
            raise DataError(f"{what}: {int(wrong.sum()):,} ({first})", where=path, hint=hint)
    return probs


def _numbers(values: pd.Series[Any]) -> npt.NDArray[np.float64]:
    """Convert a column to float64, with NaN where it has no number."""
    if pd.api.types.is_bool_dtype(values) or not (
        pd.api.types.is_numeric_dtype(values) or pd.api.types.is_string_dtype(values)
    ):
        return np.full(len(values), np.nan)
    return pd.to_numeric(values, errors="coerce").to_numpy(np.float64, na_value=np.nan)


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    return text[:40] or "empty"


def _fold_of_folder(path: Path) -> str | None:
    match = re.fullmatch(r"fold([1-9]\d{0,2})", path.absolute().parent.name)
    return match[1] if match else None
