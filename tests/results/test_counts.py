"""Canonical form of counts, and rejection of anything else."""

import re

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aubench.core.errors import RecordError
from aubench.core.protocol_rules import QUALIFIED_SUBJECT
from aubench.results import counts, csv_io

HEADER = "condition,fold,subject,au,tp,fp,fn,tn\n"
GOOD = "clean,1,F001,1,1,2,3,4\nclean,1,F001,10,0,0,0,0\nclean,1,F002,1,5,6,7,8\n"

_keys = st.tuples(
    st.sampled_from(["clean", "missing:visual", "noise:depth:0.2"]),
    st.integers(1, 12),
    st.from_regex(QUALIFIED_SUBJECT, fullmatch=True),
    st.integers(1, 99),
)


@pytest.mark.slow
@given(st.dictionaries(_keys, st.tuples(*[st.integers(0, 10**9)] * 4), min_size=1, max_size=20), st.randoms())
@settings(max_examples=25)
def test_round_trip_in_any_order(tmp_path_factory, rows, random):
    folder = tmp_path_factory.mktemp("counts")
    listed = [dict(zip(counts.KEY + counts.CELLS, (*key, *cells), strict=True)) for key, cells in rows.items()]
    counts.write(pd.DataFrame(listed), folder)
    first = (folder / counts.FILE).read_bytes()
    random.shuffle(listed)
    counts.write(pd.DataFrame(listed), folder)
    assert (folder / counts.FILE).read_bytes() == first
    assert counts.read(folder).equals(counts.canonical(pd.DataFrame(listed)))


def test_canonical_text_is_written_unchanged(tmp_path):
    (tmp_path / counts.FILE).write_text(HEADER + GOOD)
    counts.write(counts.read(tmp_path), tmp_path)
    assert (tmp_path / counts.FILE).read_text() == HEADER + GOOD


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "columns"),
        (HEADER.replace("tn", "true"), "columns"),
        (HEADER + GOOD.replace("5,6", "-5,6"), "counts.csv:4: column tp: '-5'"),
        (HEADER + GOOD.replace("5,6", "05,6"), "column tp: '05'"),
        (HEADER + GOOD.replace("5,6", "5.0,6"), "column tp"),
        (HEADER + GOOD.replace("5,6", "nan,6"), "column tp"),
        (HEADER + GOOD.replace("5,6", "9999999999999,6"), "column tp"),
        (HEADER + GOOD.replace("F002", "../x"), "column subject"),
        (HEADER + GOOD.replace("F002", '"F002"'), "column subject"),
        (HEADER + GOOD.replace("F002", "Fé"), "column subject"),
        (HEADER + GOOD.replace("clean,1,F002", "<b>,1,F002"), "column condition"),
        (HEADER + GOOD.replace("7,8\n", "7\n"), "counts.csv:4: 7 cells, expected 8"),
        (HEADER + GOOD.replace("7,8\n", "7,8,9\n"), "9 cells, expected 8"),
        (HEADER + GOOD[:-1], "truncated"),
        (HEADER + GOOD.replace("\n", "\r\n"), "counts.csv:2"),
        (HEADER + GOOD + "clean,1,F001,1,1,2,3,4\n", "two rows for condition clean, fold 1, subject F001, au 1"),
        (HEADER + "".join(reversed(GOOD.splitlines(keepends=True))), "not in the order"),
    ],
)
def test_anything_else_is_rejected_and_named(tmp_path, content, says):
    (tmp_path / counts.FILE).write_bytes(content.encode())
    with pytest.raises(RecordError) as error:
        counts.read(tmp_path)
    assert says in str(error.value)
    assert str(tmp_path / counts.FILE) in str(error.value)


def test_an_oversized_file_is_rejected(tmp_path):
    path = tmp_path / "long"
    path.write_bytes(b"x" * 101)
    with pytest.raises(RecordError, match="larger than 100 bytes"):
        csv_io.read_bounded(path, 100)


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").write_text(HEADER + GOOD)
    (tmp_path / counts.FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RecordError, match="not a plain file"):
        counts.read(tmp_path)


@pytest.mark.parametrize("bad", [-1, 0.5])
def test_counts_are_integers_and_not_negative(bad):
    row = {"condition": "clean", "fold": 1, "subject": "F001", "au": 1, "tp": 1, "fp": 0, "fn": bad, "tn": 0}
    with pytest.raises(RecordError, match="negative or not an integer"):
        counts.canonical(pd.DataFrame([row]))


def test_a_missing_column_is_named():
    with pytest.raises(RecordError, match="'tn'"):
        counts.canonical(
            pd.DataFrame([{"condition": "clean", "fold": 1, "subject": "F001", "au": 1, "tp": 1, "fp": 0, "fn": 0}])
        )


_NUMBERS = ["0", "1", "7", "12", "999", "1000", "007", "00", "", "-1", "+1", "1.0", "é", " 1", "F1"]
_cells = st.sampled_from([*_NUMBERS, "9" * 12, "9" * 13, "9" * 30])
_row = st.tuples(st.sampled_from(["clean", "a:b", "", "A"]), *[_cells] * 3).map(",".join) | st.text("01,x", max_size=9)


@pytest.mark.slow
@given(st.lists(_row, max_size=3))
@settings(max_examples=300)
def test_lines_are_accepted_exactly_if_each_cell_matches(lines):
    patterns = {"condition": counts.CONDITION, "au": counts.SMALL, "tp": csv_io.COUNT, "fp": csv_io.COUNT}
    line = re.compile(",".join(f"(?:{pattern})" for pattern in patterns.values()))
    table = csv_io._parse(lines, patterns, ["au", "tp", "fp"], ())
    assert (table is not None) == all(map(line.fullmatch, lines))
    if table is not None:
        assert [",".join(map(str, row)) for row in table.rows(list(patterns))] == lines
