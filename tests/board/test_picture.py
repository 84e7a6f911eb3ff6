"""The picture of a table."""

import cv2
import numpy as np
import pytest

from aubench.board import picture, tables
from aubench.board.build import sections_of
from aubench.errors import UsageError


def test_equal_records_give_equal_pictures_with_a_line_for_each_row(board, tmp_path):
    picture.draw(board, "synth_3fold", tmp_path / "a.png")
    picture.draw(board, "synth_3fold", tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    image = cv2.imread(str(tmp_path / "a.png")).astype(int)
    names = image[:, 20:150].min(axis=2) < 128  # dark ink where the names stand
    inked = np.flatnonzero(np.diff(np.r_[0, names.any(axis=1).astype(int)]) == 1)
    assert len(inked) >= 1 + 6  # a title and six rows


def test_protocol_without_runs_is_refused_and_nothing_written(board, tmp_path):
    with pytest.raises(UsageError, match="no complete run of protocol 'bp4d_3fold'"):
        picture.draw(board, "bp4d_3fold", tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def test_rows_of_one_method_are_told_apart_by_their_names(tmp_path, make_record):
    for record in (make_record("amf"), make_record("amf", recipe={"learning_rate": 0.1}), make_record("cam")):
        record.write(tmp_path / "records" / record.place)
    section, *_ = sections_of(tmp_path, "synth_3fold")
    names = {tables.named(row, section.ranked) for row in section.rows}
    assert {"amf, learning_rate=0.1", "amf, learning_rate=0.001", "cam", "always positive"} <= names
