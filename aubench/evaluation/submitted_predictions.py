"""Assignment of predictions made elsewhere to the test frames of a protocol, each exactly once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from aubench.core.conditions import CLEAN, Condition
from aubench.core.errors import DataError, UsageError
from aubench.data.splits import ProtocolDataset, Rows
from aubench.evaluation.prediction_files import PredictionTable, describe

Ints = npt.NDArray[np.int64]
_KEY = ("subject", "sequence", "frame")


@dataclass(frozen=True)
class SubmittedPredictions:
    """Probabilities of all test frames of a protocol.

    Attributes:
        rows: Test frames of each fold, as row numbers of the store.
        probs: float32 (test frames of all folds, AUs) by condition.
    """

    rows: Mapping[int, Rows]
    probs: Mapping[Condition, npt.NDArray[np.float32]]

    @property
    def digest(self) -> str:
        """SHA-256 of the probabilities under clean inputs."""
        return hashlib.sha256(self.probs[CLEAN].astype("<f4").tobytes()).hexdigest()

    def of_fold(self, fold: int, condition: Condition) -> npt.NDArray[np.float32]:
        """Return the probabilities (frames, AUs) of a fold's test frames."""
        first = sum(len(rows) for number, rows in self.rows.items() if number < fold)
        return self.probs[condition][first : first + len(self.rows[fold])]


def assign(tables: Sequence[PredictionTable], data: ProtocolDataset) -> SubmittedPredictions:
    """Assign predictions to the test frames of all folds.

    Args:
        tables: Content of all files.
        data: Frames of the store under the protocol.

    Raises:
        DataError: A frame is missing, additional, there twice or in the wrong fold, or a fold or condition does not
            exist.
    """
    frames = _TestFrames(data)
    slots = [frames.find(table) for table in tables]
    all_slots, files = np.concatenate(slots), np.repeat(np.arange(len(tables)), [len(part) for part in slots])
    conditions = [_conditions(table, data) for table in tables]
    distinct = sorted({condition for part in conditions for condition in part}, key=str)
    if CLEAN not in distinct:
        hint = f"add the condition '{CLEAN}', or leave out the column"
        raise DataError("has no predictions of clean inputs", where=tables[0].path, hint=hint)
    codes = {condition: i for i, condition in enumerate(distinct)}
    all_codes = np.concatenate([np.array([codes[condition] for condition in part]) for part in conditions])
    for i in range(len(distinct)):
        _require_once(np.flatnonzero(all_codes == i), all_slots, files, tables, frames.table)
    values = np.concatenate([table.probs for table in tables])
    probs = {}
    for condition, i in codes.items():
        members = all_codes == i
        probs[condition] = np.empty((len(frames.table), values.shape[1]), np.float32)
        probs[condition][all_slots[members]] = values[members]
    return SubmittedPredictions(frames.rows, probs)


class _TestFrames:
    """Test frames of all folds with an index.

    Attributes:
        rows: Row numbers of the store by fold.
        table: Columns ``subject``, ``sequence``, ``frame`` and ``fold``.
    """

    def __init__(self, data: ProtocolDataset) -> None:
        self._protocol = data.protocol
        self.rows = {fold: data.split(fold, validation=False).test for fold in data.protocol.fold_numbers()}
        self.table = data.store.frames[[*_KEY]].iloc[np.concatenate(list(self.rows.values()))].reset_index(drop=True)
        self.table["fold"] = np.repeat(list(self.rows), [len(rows) for rows in self.rows.values()])
        self._values = {name: pd.Index(self.table[name].unique()) for name in _KEY}
        self._any_fold = pd.Index(self._encode(self.table))
        self._index = pd.Index(self._with_fold(self._any_fold.to_numpy(), self.table["fold"].to_numpy()))

    def find(self, table: PredictionTable) -> Ints:
        """Return the index of each row among the test frames."""
        codes, folds = self._encode(table.keys), self._folds(table)
        slots = self._index.get_indexer(pd.Index(self._with_fold(codes, folds)))
        unknown = (slots < 0) | (codes < 0)
        is_elsewhere = unknown & np.isin(codes, self._any_fold)
        if is_elsewhere.any():
            row = int(is_elsewhere.argmax())
            right = self.table["fold"][int((self._any_fold == codes[row]).argmax())]
            what = f"rows in the wrong fold: {int(is_elsewhere.sum()):,}"
            first = f"(first: row {row + 1:,}, {describe(table.keys.iloc[row])}; fold {right} tests this frame)"
            raise DataError(f"{what} {first}", where=table.path)
        if unknown.any():
            row = int(unknown.argmax())
            what = f"rows that are no labelled test frame of {self._protocol.name}: {int(unknown.sum()):,}"
            raise DataError(
                f"{what} (first: row {row + 1:,}, {describe(table.keys.iloc[row])})",
                where=table.path,
                hint="remove these rows",
            )
        return slots.astype(np.int64)

    def _encode(self, table: pd.DataFrame) -> Ints:
        """Return a number for each subject, sequence and frame, -1 for others than those of test frames."""
        code, is_known = np.zeros(len(table), np.int64), np.ones(len(table), bool)
        for name, values in self._values.items():
            part = values.get_indexer(pd.Index(table[name]))
            code, is_known = code * len(values) + part, is_known & (part >= 0)
        return np.where(is_known, code, -1)

    def _with_fold(self, codes: Ints, folds: Ints) -> Ints:
        return codes * (len(self.rows) + 1) + folds

    def _folds(self, table: PredictionTable) -> Ints:
        """Return the fold of each row; without a column, that of the subject's only test."""
        stated = table.keys["fold"]
        if stated.isna().any():
            tested = self.table.groupby("subject")["fold"].agg(["min", "max"])
            subjects = table.keys["subject"]
            several = subjects.isin(tested.index[tested["min"] != tested["max"]])
            if several.any():
                what = f"states no fold, and several folds test subject {subjects[several].iloc[0]}"
                raise DataError(what, where=table.path, hint="add a column 'fold'")
            return subjects.map(tested["min"]).fillna(0).to_numpy(np.int64)
        numbers = {}
        for name in stated.unique():
            try:
                numbers[name] = self._protocol.fold_number(name)
            except UsageError as error:
                raise DataError(f"column fold: {error.what}", where=table.path, hint=error.hint) from None
        return stated.map(numbers).to_numpy(np.int64)


def _conditions(table: PredictionTable, data: ProtocolDataset) -> list[Condition]:
    """Return the condition of each row."""
    known: dict[str, Condition] = {}
    for text in table.keys["condition"].unique():
        try:
            known[text] = Condition.parse(text)
        except UsageError as error:
            raise DataError(f"column condition: {error.what}", where=table.path, hint=error.hint) from None
        if other := set(known[text].modalities) - set(data.protocol.modalities):
            used = ", ".join(data.protocol.modalities)
            what = f"column condition: '{text}' is about {min(other)}, the predictions use {used}"
            raise DataError(what, where=table.path)
    return [known[text] for text in table.keys["condition"]]


def _require_once(
    members: Ints, slots: Ints, files: Ints, tables: Sequence[PredictionTable], frames: pd.DataFrame
) -> None:
    """Require each test frame exactly once among the rows of one condition."""

    def row_of(member: int) -> pd.Series[Any]:
        before = int((files < files[member]).sum())
        row: pd.Series[Any] = tables[files[member]].keys.iloc[member - before]
        return row

    repeated = pd.Series(slots[members]).duplicated().to_numpy()
    if repeated.any():
        first = int(members[repeated.argmax()])
        what = f"predictions of a frame that has one already: {int(repeated.sum()):,}"
        raise DataError(f"{what} (first: {describe(row_of(first))})", where=tables[files[first]].path)
    missing = np.bincount(slots[members], minlength=len(frames)) == 0
    if missing.any():
        example = {**frames.iloc[int(missing.argmax())], "condition": row_of(int(members[0]))["condition"]}
        what = f"test frames without a prediction: {int(missing.sum()):,} of {len(frames):,}"
        raise DataError(f"{what} (first: {describe(pd.Series(example))})", where=_names(tables))


def _names(tables: Sequence[PredictionTable]) -> Path | str:
    more = len(tables) - 1
    return f"{tables[0].path} and {more} more file{'s' * (more > 1)}" if more else tables[0].path
