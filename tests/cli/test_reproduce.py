"""``aubench reproduce``: list of exhibits, missing runs, reuse of finished ones."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path

import pytest
from factories.command_words import changed

from aubench.results.run_folder import RESULT

ROOT = Path(__file__).parents[2] / "leaderboard"
SMALL = [
    *("--set", "image_size=32", "--set", "crop=28", "--set", "frames_per_epoch=64", "--set", "epochs=1"),
    *("--device", "cpu", "--no-track"),
]


def listing(call, protocol: str) -> dict[str, tuple[int, int]]:
    done = call("reproduce", "--root", ROOT, "--protocol", protocol)
    assert done.code == 0, done.err
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.out.splitlines()[2:]]
    return {name: (int(runs), int(there)) for name, _, _, runs, there, _ in rows}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("protocol", "bp4dplus", "every"), [("synth_3fold", (7, 12, 2), 70), ("bp4d_3fold", (0, 0, 0), 43)]
)
def test_the_list_has_the_number_of_runs(call, tmp_path, protocol, bp4dplus, every):
    counts = listing(call, protocol)
    assert not (tmp_path / "stores").exists(), "listing generates no store"
    assert {name: runs for name, (runs, _) in counts.items()} == {
        **{"amf-table-1": 8, "amf-table-2": bp4dplus[0], "amf-table-3": bp4dplus[1], "amf-table-4": 4},
        **{"fmae-iat-bp4dplus": bp4dplus[2], "fmae-mdhr-bp4d": 0, "fmae-mdhr-disfa": 0},
        **{"amf-figure-4": 3, "amf-figure-5": 3, "mcm-figure-4": 1, "mcm-figure-6": 8},
        **{"mcm-table-1": 6, "mcm-table-2": 0, "mcm-table-3": 5, "mcm-table-4": 10},
        **{"au-vmae-table-1": 1, "au-vmae-table-2": 0, "au-vmae-table-3": 12, "au-vmae-table-4": 2},
        **{f"au-vmae-appendix-{i}": runs for i, runs in ((1, 1), (2, 0), (3, 1), (4, 0))},
        **{"au-vmae-figure-6": 1, "au-vmae-appendix-figure-1": 1, "--all": every},
        **{f"mcm-supplement-figure-{i}": runs * (protocol == "synth_3fold") for i, runs in ((1, 9), (2, 1), (3, 0))},
        **{f"amf-figure-{i}": 0 for i in (1, 2, 3)},
        **{f"mcm-figure-{i}": 0 for i in (1, 2, 3, 5)},
        **{f"au-vmae-figure-{i}": 0 for i in (1, 2, 3, 4, 5)},
        "au-vmae-appendix-figure-2": 0,
    }
    assert not any(local for _, local in counts.values())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["amf-tabel-1"], "reproduce: no table or figure 'amf-tabel-1'; did you mean 'amf-table-1'?"),
        (["amf-table-1", "--format", "html"], "--format: no format 'html'"),
        (["amf-table-1", "--preset", "tyni"], "--preset: no preset 'tyni'; did you mean 'tiny'?"),
        (["amf-table-1", "--protocol", "synth_3fld"], "--protocol: no protocol 'synth_3fld'"),
        (["amf-table-1", "--root", "."], "reported: no reported table"),
    ],
)
def test_bad_usage_is_one_line(call, small_store, words, message):
    done = call(*changed(["reproduce", "--root", ROOT], words), "--store", small_store)
    assert done.code == 2
    assert message in done.err and done.err.count("\n") == 1


def test_what_cannot_be_made_is_named_with_its_reason_in_one_line(call, small_store):
    done = call("reproduce", "mcm-figure-5", "--root", ROOT, "--store", small_store)
    assert done.code == 0 and done.out == "", done.err
    assert done.err.count("\n") == 1
    assert done.err.startswith("mcm-figure-5: cannot be made: ") and "DISFA" in done.err


@pytest.fixture
def root(tmp_path) -> Path:
    """Return a leaderboard with two tables: late fusion without and with cut-switch, and one not for synth."""
    folder = tmp_path / "board" / "reported"
    folder.mkdir(parents=True)
    rows = (ROOT / "reported/amf_table_4.csv").read_text().splitlines(keepends=True)
    (folder / "amf_table_4.csv").write_text("".join(rows[:3]))
    shutil.copy(ROOT / "reported/mcm_table_2.csv", folder)
    return folder.parent


@pytest.mark.slow
def test_missing_runs_are_announced_and_trained_once(call, small_store, root):
    words = ["reproduce", "amf-table-4", "mcm-table-2", "--root", root, "--store", small_store, *SMALL]
    done = call(*words)
    assert done.code == 0, done.err
    first, *_ = (line for line in done.err.splitlines() if line.startswith("amf-table-4"))
    assert re.match(r"amf-table-4: 2 of 2 runs missing, about .*: late_fusion .*cut_switch=0.5", first)
    assert done.err.index(first) < done.err.index("frames/s")
    assert "mcm-table-2: row of mcm skipped: needs a protocol of disfa" in done.err
    written = [Path(line.removeprefix("wrote ")) for line in done.out.splitlines()]
    assert [path.name for path in written] == ["amf-table-4.md", "mcm-table-2.md"]
    content = [path.read_bytes() for path in written]
    assert content[0].count(b"| here ") == 2 and content[1].count(b"| here ") == 0

    again = call(*words)
    assert again.code == 0 and "frames/s" not in again.err
    assert "amf-table-4: nothing to run" in again.err
    assert [path.read_bytes() for path in written] == content

    for record in list(Path("runs").rglob("record")):
        shutil.copytree(record, root / "variants" / "records" / record.parent.relative_to("runs"))
    published = call(*words, "--runs", "others")
    assert "amf-table-4: nothing to run; 2 of 2 runs on the leaderboard" in published.err
    assert [path.read_bytes() for path in written] == content and not Path("others").exists()
    shutil.rmtree(root / "variants")

    result = next(Path("runs").rglob(f"fold2/{RESULT}"))
    result.unlink()
    assert "amf-table-4: 1 of 2 runs missing" in call(*words, "--format", "csv").err
    lines = list(csv.DictReader(written[0].with_suffix(".csv").open()))
    assert [line["Numbers"] for line in lines] == ["paper", "here"] * 2
    assert written[0].read_bytes() == content[0]


@pytest.mark.slow
def test_a_figure_is_drawn_with_its_numbers(call, small_store):
    done = call("reproduce", "amf-figure-4", "--root", ROOT, "--store", small_store, *SMALL, "--out", "drawn")
    assert done.code == 0, done.err
    assert sorted(path.name for path in Path("drawn").iterdir()) == [
        f"amf-figure-4{end}" for end in (".md", ".png", ".svg")
    ]
    text = Path("drawn/amf-figure-4.md").read_text()
    assert text.count("| paper ") == 8 and text.count("| here ") == 8
    assert "missing:visual" in text and "evaluated under 2 conditions" in done.err
    changes = "crop=28, epochs=1, frames_per_epoch=64, image_size=32"
    assert f"preset small, {changes}; selection" in text
    assert f"preset small, {changes}" in Path("drawn/amf-figure-4.svg").read_text()
