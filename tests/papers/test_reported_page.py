"""The page of reported numbers: all of them, with their notes, and bold where bold belongs."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from aubench.core.errors import RecordError
from aubench.leaderboard import build
from aubench.leaderboard.check import check
from aubench.papers import reported, reported_page, reproduced_tables
from aubench.papers.leaderboard_pages import EXTENSIONS

OWN = Path(__file__).parents[2] / "leaderboard" / "reported"


@pytest.fixture(scope="module")
def tables():
    return reported.read_all(OWN.parent)


@pytest.fixture(scope="module")
def chapters(tables):
    """Lines of each table by the file's name, in parts: cells of the header, cells of the rows, notes."""
    tables_by_name = {}
    for chapter in build.markdown(reported_page.page(tables)).split("\n## ")[1:]:
        name = re.search(r"\(reported/(\w+)\.csv\)", chapter)[1]
        lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*$", chapter, re.M)]
        tables_by_name[name] = [dict(zip(lines[0], line, strict=True)) for line in lines[2:]], chapter
    return tables_by_name


def _f1(row, header):
    return None if row[header] == "–" else float(row[header].strip("*"))


def test_every_number_stands_there(tables, chapters):
    assert set(chapters) == {table.name for table in tables}
    for table in tables:
        shown, _ = chapters[table.name]
        assert len(shown) == len(table.rows)
        for row, line in zip(table.rows, shown, strict=True):
            assert {au: _f1(line, f"AU{au}") for au in table.aus} == row.aus
            assert _f1(line, "Mean") == row.mean


def test_headings_have_no_markup(tables):
    row = tables[0].rows[0].model_copy(update={"source": "<b>[Table](x)"})
    table = replace(tables[0], rows=(row,))
    heading = r"&lt;b&gt;\[Table\](x)"
    assert f"## {heading}\n" in build.markdown(reported_page.page([table]))
    assert reproduced_tables.render_points("<b>[Table](x)", (), "markdown").startswith(f"# {heading}\n")


def test_suspect_rows_are_never_bold_and_say_why(tables, chapters):
    suspect = 0
    for table in tables:
        shown, chapter = chapters[table.name]
        for row, line in zip(table.rows, shown, strict=True):
            notes = {re.search(rf"^{number}\. (.*)$", chapter, re.M)[1] for number in line["Notes"].split(", ")}
            assert any(note.startswith("Suspect: ") for note in notes) == bool(row.suspect)
            if row.suspect:
                suspect += 1
                assert "**" not in "".join(line.values())
    assert suspect == 21


def test_the_best_of_a_column_is_bold(tables, chapters):
    by_name = {table.name: table for table in tables}
    for name in ("amf_table_1", "mcm_table_1", "au_vmae_table_2"):
        shown, _ = chapters[name]
        sound = [line for row, line in zip(by_name[name].rows, shown, strict=True) if not row.suspect]
        for header in ("AU1", "AU12", "Mean"):
            best = max(_f1(line, header) for line in sound)
            assert all(("**" in line[header]) == (_f1(line, header) == best) for line in sound)
    assert not any("**" in line["Mean"] for line in chapters["au_vmae_appendix_table_4"][0])


def test_the_two_data_sets_of_a_table_are_apart(chapters):
    bold = [line["Tested on"] for line in chapters["au_vmae_table_3"][0] if "**" in line["Mean"]]
    assert bold == ["bp4d", "disfa"]


def test_bp4dplus_is_on_unknown_folds(chapters):
    for name in ("amf_table_2", "amf_table_3"):
        assert "Reported on unknown folds" in chapters[name][1]


@pytest.fixture
def reported_board(small_board):
    shutil.copytree(OWN, small_board / "reported")
    build.write(small_board, EXTENSIONS)
    return small_board


@pytest.mark.slow
def test_the_page_is_built_linked_and_checked(reported_board):
    assert "[reported.md](reported.md)" in (reported_board / "README.md").read_text()
    assert check(reported_board, extensions=EXTENSIONS) == []
    page = reported_board / "reported.md"
    page.write_text(page.read_text().replace("65.8", "66.8"))
    stale = f"{page}: is stale; run `aubench leaderboard build --root {reported_board}`"
    assert [str(finding) for finding in check(reported_board, extensions=EXTENSIONS)] == [stale]
    build.write(reported_board, EXTENSIONS)
    assert check(reported_board, extensions=EXTENSIONS) == []


def test_a_bad_table_is_a_finding_and_stops_the_build(reported_board):
    path = reported_board / "reported" / "mcm_table_2.csv"
    path.write_text(path.read_text().replace("41.5,26.4", "41.5,x"))
    line = f"{path}: row 2, column AU2: 'x' is not a number with one or two decimals"
    assert [str(finding) for finding in check(reported_board, extensions=EXTENSIONS)] == [line]
    with pytest.raises(RecordError, match="row 2, column AU2"):
        build.write(reported_board, EXTENSIONS)


def test_without_tables_there_is_no_page(reported_board):
    shutil.rmtree(reported_board / "reported")
    build.write(reported_board, EXTENSIONS)
    assert not (reported_board / "reported.md").exists()
    assert "reported.md" not in (reported_board / "README.md").read_text()
