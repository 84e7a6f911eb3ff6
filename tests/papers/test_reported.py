"""Reported tables: complete and consistent data, and one-line errors for bad files."""

import csv
import io
import subprocess
import sys
from pathlib import Path

import pytest

from aubench.core.errors import RecordError
from aubench.core.registry import builtin_methods
from aubench.core.task import Modality
from aubench.papers import reported
from tests.factories.feasibility import f1_bounds

OWN = Path(__file__).parents[2] / "leaderboard"
SHAPES = {
    "amf_figure_4": (8, 0),
    "amf_table_1": (13, 12),
    "amf_table_2": (8, 12),
    "amf_table_3": (12, 12),
    "amf_table_4": (4, 12),
    "au_vmae_appendix_table_1": (5, 12),
    "au_vmae_appendix_table_2": (5, 8),
    "au_vmae_appendix_table_3": (4, 5),
    "au_vmae_appendix_table_4": (3, 0),
    "au_vmae_table_1": (9, 12),
    "au_vmae_table_2": (9, 8),
    "au_vmae_table_3": (24, 0),
    "au_vmae_table_4": (4, 0),
    "fmae_iat_bp4dplus": (9, 0),
    "fmae_mdhr_bp4d": (22, 0),
    "fmae_mdhr_disfa": (21, 0),
    "mcm_table_1": (14, 12),
    "mcm_table_2": (9, 8),
    "mcm_table_3": (5, 12),
    "mcm_table_4": (10, 12),
}
MISMATCHED = {
    ("mcm_table_1", "EAC"),
    ("mcm_table_2", "EAC"),
    ("au_vmae_table_1", "EAC-Net"),
    ("au_vmae_table_1", "DRML"),
    ("au_vmae_table_2", "EAC-Net"),
    ("au_vmae_table_2", "DRML"),
    ("au_vmae_appendix_table_1", "ME-AU"),
    ("au_vmae_appendix_table_2", "EAC-Net"),
}
"""Rows whose printed mean is not that of their AUs."""
BASE_RATES = {
    "bp4d": (21.1, 17.1, 20.3, 46.1, 54.9, 59.4, 56.2, 46.6, 16.9, 34.4, 16.5, 15.2),
    "disfa": (5.0, 4.0, 15.0, 8.1, 4.3, 13.2, 27.8, 8.9),
}
"""Literature values in %, from memory; hence the tolerances below."""


@pytest.fixture(scope="module")
def tables():
    return {table.name: table for table in reported.read_all(OWN)}


@pytest.fixture(scope="module")
def rows(tables):
    return [row for table in tables.values() for row in table.rows]


def test_every_table_is_there_in_its_shape(tables):
    assert {name: (len(table.rows), len(table.aus)) for name, table in tables.items()} == SHAPES


def test_aus_are_those_of_the_data_set(tables):
    for table in tables.values():
        for dataset in {row.dataset for row in table.rows}:
            is_complete = len(table.aus) in (0, len(reported.AUS[dataset]))
            assert is_complete or table.name == "au_vmae_appendix_table_3"
            assert set(table.aus) <= set(reported.AUS[dataset])


def test_every_mean_is_that_of_its_aus_unless_the_row_is_suspect(rows):
    both = [row for row in rows if row.printed and row.mean is not None]
    off = [row for row in both if abs(sum(row.printed.values()) / len(row.printed) - row.mean) > 0.15]
    assert len(both) > 90
    assert {(row.table, row.method) for row in off} == MISMATCHED
    assert all("the mean of its AUs is" in row.suspect for row in off)
    assert not any("the mean of its AUs" in row.suspect for row in both if row not in off)


def test_numbers_have_as_many_decimals_as_print(rows):
    for row in rows:
        digits = 2 if row.metric in reported.COSTS else 1
        assert all(round(value, digits) == value for value in [*row.printed.values(), row.mean or 0.0])


def test_an_empty_row_says_why(rows):
    empty = {(row.table, row.method, row.variant or row.condition) for row in rows if row.mean is None}
    assert empty == {
        ("amf_table_2", "TEMT-Net", "clean"),
        ("amf_figure_4", "ResNet-18+CAM", "missing:depth"),
        ("au_vmae_appendix_table_4", "AU-vMAE", "video level"),
        ("au_vmae_appendix_table_3", "AU-vMAE", "clean"),
    }


def _outside(f1, accuracies):
    """By how many points each AU's F1 lies outside what its accuracy allows."""
    errors = {}
    for au, rate in zip(reported.AUS[f1.dataset], BASE_RATES[f1.dataset], strict=True):
        low, high = f1_bounds(rate / 100, accuracies.aus[au] / 100)
        errors[au] = max(100 * low - f1.aus[au], f1.aus[au] - 100 * high)
    return errors


def test_accuracies_that_cannot_belong_to_their_f1_are_suspect(tables):
    marked = {}
    for number in (1, 2):
        f1s = {row.method: row for row in tables[f"au_vmae_table_{number}"].rows}
        for row in tables[f"au_vmae_appendix_table_{number}"].rows:
            outside = _outside(f1s[row.method], row) if row.method in f1s else {0: 0.0}
            impossible = max(outside.values()) > 5
            assert ("cannot belong to the F1" in row.suspect) == impossible
            if impossible:
                marked[row.dataset, row.method] = {au for au, points in outside.items() if points > 1}
                assert row.suspect.endswith(
                    ": " + ", ".join(f"AU{au}" for au in sorted(marked[row.dataset, row.method]))
                )
                assert "cannot belong to these F1" in f1s[row.method].remark
    assert marked["bp4d", "Ours"] == {4, 6, 10, 12}
    assert marked["bp4d", "ME-AU"] == {6, 7, 10, 12}
    assert marked["disfa", "Ours"] >= {4, 25}
    assert marked["disfa", "ME-AU"] >= {12, 25}
    assert set(marked) == {("bp4d", "Ours"), ("bp4d", "ME-AU"), *(("disfa", m) for m in ("Ours", "ME-AU", "EAC-Net"))}


def test_a_row_of_another_data_set_is_suspect(rows):
    suspect = [(row.method, row.modalities) for row in rows if row.suspect.startswith("almost surely a row of BP4D+")]
    assert suspect == [("MFT", (Modality.DEPTH,))]


def test_rows_that_two_papers_print_agree(rows):
    """The same method's F1 of BP4D in AMF and MCM: only so if AMF's columns are renamed rightly."""
    by_name = {(row.table, row.method): row.aus for row in rows}
    for method in ("MTUT", "TEMT-Net", "AMF"):
        assert by_name["amf_table_1", method] == by_name["mcm_table_3", method]
    for ours, theirs in (("DSIN", "DSIN"), ("JAA", "JAA-Net"), ("SRERL", "SRERL")):
        assert by_name["amf_table_1", ours] == by_name["mcm_table_1", theirs]


def test_methods_here_exist_and_have_the_settings_that_rows_name(rows):
    from aubench.core.registry import find_method

    assert {row.method_here for row in rows} - {""} <= set(builtin_methods())
    for row in rows:
        if row.method_here:
            recipe = find_method(row.method_here).method_class.Recipe.from_preset("paper", row.settings)
            assert recipe.model_dump(include=set(row.settings)) == row.settings
        else:
            assert not row.settings


def test_what_is_known_of_the_folds(rows):
    listed = {row.method for row in rows if row.folds == "listed"}
    assert {row.folds for row in rows if row.dataset == "bp4dplus"} == {"unknown", "listed"}
    assert listed == {"FMAE", "FMAE-IAT"} and all(row.dataset == "bp4dplus" for row in rows if row.folds == "listed")


def test_means_that_their_aus_contradict_are_marked_without_the_aus(rows):
    marked = {(row.dataset, row.method) for row in rows if row.table.startswith("fmae") and row.suspect}
    assert marked == {
        *(("bp4d", "EAC-Net"), ("bp4dplus", "ViT"), ("bp4dplus", "CLEF")),
        *(("disfa", name) for name in ("EAC-Net", "HSTR-Net", "SMA-Net", "GPT-4V")),
    }
    assert {row.folds for row in rows if row.table.startswith(("mcm", "au_vmae"))} == {"ambiguous"}


@pytest.fixture
def folder(tmp_path):
    """Return a leaderboard with one reported table, and a function that changes a cell."""
    (tmp_path / "reported").mkdir()
    path = tmp_path / "reported" / "mcm_table_1.csv"
    path.write_bytes((OWN / "reported" / path.name).read_bytes())

    def change(row, column, value):
        lines = list(csv.reader(io.StringIO(path.read_text())))
        lines[row - 1][lines[0].index(column)] = value
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(lines)
        path.write_text(text.getvalue())
        return path

    return tmp_path, change


@pytest.mark.parametrize(
    ("row", "column", "value", "message"),
    [
        (3, "AU12", "8o.1", "row 3, column AU12: '8o.1' is not a number with one or two decimals"),
        (3, "AU12", "108.1", "row 3, column AU12: is above 100 %"),
        (3, "mean", "108.1", "row 3, column mean: is above 100 %"),
        (4, "mean", "nan", "row 4, column mean: 'nan' is not a number with one or two decimals"),
        (2, "dataset", "ck+", "row 2, column dataset: 'ck+' must be 'bp4d', 'bp4dplus' or 'disfa'"),
        (2, "dataset", "disfa", "row 2, column AU7: is not an AU of disfa"),
        (2, "modalities", "DV", "row 2, column modalities: 'DV' does not consist of V, D and T in this order"),
        (2, "settings", "epochs", "row 2, column settings: 'epochs' does not consist of key=value"),
        (2, "settings", "k=" + "[" * 30_000, f"row 2, column settings: 'k={'[' * 38}' has more than 300 characters"),
        (2, "table", "other", "row 2, column table: is not 'mcm_table_1'"),
        (2, "method", "", "row 2, column method: '' must match the pattern"),
        (3, "method", "EAC", "row 3, is a second row for the same dataset"),
        (1, "AU7", "AU5x", "row 1, column AU5x: expected AU10"),
        (1, "AU7", "AU12", "row 1, column AU12: expected AU10"),
        (1, "remark", "notes", "row 1, column notes: expected remark"),
        (2, "remark", "é", "is not a CSV file in ASCII"),
    ],
)
def test_a_bad_cell_is_an_error_with_file_row_and_column(folder, row, column, value, message):
    root, change = folder
    path = change(row, column, value)
    with pytest.raises(RecordError) as error:
        reported.read_all(root)
    assert str(error.value).startswith(f"{path}: {message}")
    assert "\n" not in str(error.value)


def test_sizes_are_bounded(folder):
    root, change = folder
    path = change(2, "method", "EAC")
    text = path.read_text()
    for content, message in (
        ("", "has 0 rows"),
        (text.splitlines(keepends=True)[0] * 200, "has 199 rows"),
        (text + "x" * 70_000, "is larger than 65,536 bytes"),
        (text + '"', "is not a CSV file"),
        (text + "bp4d,1\n", "row 16, column trained_on: 2 cells, expected 29"),
    ):
        path.write_text(content)
        with pytest.raises(RecordError, match=message):
            reported.read_all(root)


def test_strangers_in_the_folder_are_told(folder):
    root, _ = folder
    (root / "reported" / "notes.txt").write_text("mine")
    (root / "reported" / "link.csv").symlink_to(OWN / "reported" / "mcm_table_1.csv")
    assert [str(finding).rpartition("/")[2] for finding in reported.scan(root)[1]] == [
        "link.csv: is missing or not a plain file",
        "notes.txt: is not a table; tables are .csv files",
    ]


@pytest.mark.slow
def test_reading_needs_no_torch():
    script = "import sys; from aubench.papers import reported; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
