"""Measured beside reported: like with like, and the rest stands alone."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from factories.records import remade

from aubench.api.leaderboards import load_leaderboard
from aubench.core import protocol_versions
from aubench.core.errors import UsageError
from aubench.core.protocol_versions import ProtocolChange
from aubench.core.registry import find_protocol
from aubench.core.task import Modality
from aubench.leaderboard.entries import ranked_tables
from aubench.leaderboard.records import StoredRecord
from aubench.metrics import scores
from aubench.metrics.scores import summary_of
from aubench.papers import measured, reported
from aubench.papers.leaderboard_pages import EXTENSIONS
from aubench.results import counts
from tests.factories import boards

OWN = Path(__file__).parents[2] / "leaderboard" / "reported"
V, D, _ = Modality


@pytest.fixture(scope="module")
def tables():
    return reported.read_all(OWN.parent)


@pytest.fixture(scope="module")
def on_bp4d(make_record):
    """A record as if it were of BP4D, whose subjects and folds synth borrows."""

    def make(*words, **options):
        record = make_record(*words, protocol=find_protocol("bp4d_3fold"), **options)
        return remade(record, dataset__name="bp4d")

    return make


def _section(*records):
    (section,) = ranked_tables([StoredRecord(Path(record.info.run), record) for record in records])
    return section


def _lines(blocks):
    table = next(block for block in blocks if not isinstance(block, str))
    return [dict(zip(table.headers, (cell.text for cell in row), strict=True)) for row in table.rows]


def _measured(blocks):
    return {(line["Source"], line["Row"]): line for line in _lines(blocks) if line["Measured"] != "–"}


def test_a_row_of_an_earlier_version_of_the_protocol_says_so(on_bp4d, tables, monkeypatch):
    section = _section(on_bp4d("late_fusion", skill=0.6, recipe={"cut_switch": 0.0}))

    def labels():
        blocks = measured.compare_with_reported("bp4d", 3, [section], tables)
        return {line["Measured as"] for line in _measured(blocks).values()}

    (label,) = labels()
    change = ProtocolChange("bp4d_3fold", 2, "Validation subjects are drawn anew.")
    monkeypatch.setattr(protocol_versions, "changes", lambda name=None: (change,))
    assert labels() == {f"{label}; protocol version 1 (earlier)"}


@pytest.mark.slow
def test_measured_stands_beside_reported_with_its_deviation(on_bp4d, tables):
    runs = [on_bp4d("late_fusion", seed=seed, skill=0.6, recipe={"cut_switch": 0.0}) for seed in (0, 1)]
    lines = _measured(measured.compare_with_reported("bp4d", 3, [_section(*runs)], tables))
    assert set(lines) == {
        ("amf_figure_4", "ResNet-18 (late fusion)"),
        ("amf_table_1", "Late fusion"),
        ("amf_table_4", "ResNet-18, w/o cut-switch"),
    }
    f1 = 50 * sum(summary_of(run).f1_mean for run in runs)
    line = lines["amf_table_1", "Late fusion"]
    assert line["Measured"] == f"{f1:.1f}"
    assert line["Reported"] == "61.1"
    assert line["Deviation"] == f"{f1 - 61.1:+.1f}"
    assert line["Measured as"] == "small; inner_val; seeds: 2"
    assert line["Modalities"] == "V+D"


def test_what_only_papers_have_stands_with_an_empty_cell(tables):
    lines = _lines(measured.compare_with_reported("bp4d", 3, [], tables))
    assert {line["Measured"] for line in lines} == {line["Deviation"] for line in lines} == {"–"}
    assert {"DSIN", "PIAP-DF", "CAF-Net"} <= {line["Row"] for line in lines}
    assert not any("2.81" in line["Reported"] or line["Source"].startswith("au_vmae_appendix") for line in lines)
    methods = [line["Here"] for line in lines]
    assert "–" not in methods[: methods.index("–")] and set(methods[methods.index("–") :]) == {"–"}


@pytest.mark.slow
def test_the_row_whose_settings_are_met_most_closely(on_bp4d, tables):
    runs = [
        on_bp4d("late_fusion", recipe={"cut_switch": 0.5}),
        on_bp4d("mcm", recipe={"pretrain_epochs": 0, "inputs": "visual", "pretrain_inputs": "mixed"}),
        on_bp4d("mcm", recipe={"pretrain_epochs": 30, "inputs": "depth", "pretrain_inputs": "depth"}),
        on_bp4d("mcm", recipe={"pretrain_epochs": 30, "inputs": "mixed", "pretrain_inputs": "mixed"}),
    ]
    lines = _measured(measured.compare_with_reported("bp4d", 3, [_section(*runs)], tables))
    assert set(lines) == {
        ("amf_table_4", "ResNet-18, + cut-switch"),
        ("mcm_table_4", "MCM, Finetune, RGB, without channel-mixing"),
        ("mcm_table_4", "MCM, Pretrain, Depth, without channel-mixing"),
        ("mcm_table_4", "MCM, Pretrain, EF, with channel-mixing"),
        ("mcm_table_3", "Ours(MCM)"),
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "recipe", "expected"),
    [
        ("late_fusion", {"cut_switch": 0.3}, set()),
        ("amf", {"cut_switch": 0.1}, {"AMF", "AMF, + cut-switch", "AMF, missing:visual", "AMF, missing:depth"}),
        ("amf", {"cut_switch": 0.0}, {"AMF, w/o cut-switch"}),
        ("mcm", {"pretrain_inputs": "conv"}, set()),
        ("mcm", {"pretrain_epochs": 0}, {"MCM, Finetune, EF, with channel-mixing"}),
        (
            "au_vmae",
            {"level": "video", "weight_intra": 0.0, "weight_inter": 0.5},
            {"AU-vMAE, video level, with inter-frame knowledge"},
        ),
    ],
)
def test_a_row_without_a_setting_is_of_the_papers_value(on_bp4d, tables, method, recipe, expected):
    (run,) = _section(on_bp4d(method, recipe=recipe)).methods
    table = _section(on_bp4d(method, recipe=recipe))
    rows = [row for paper in tables for row in paper.rows if row.dataset == "bp4d"]
    nearest = measured.nearest(measured.Measured(run, table), rows)
    names = {", ".join(filter(None, [row.method, row.variant, row.condition.replace("clean", "")])) for row in nearest}
    assert names == expected


@pytest.mark.slow
def test_only_like_modalities_are_compared(on_bp4d, tables):
    runs = [on_bp4d("amf", modalities=(D,)), on_bp4d("mft", modalities=(V,))]
    lines = _measured(measured.compare_with_reported("bp4d", 3, [_section(*runs)], tables))
    assert [(line["Row"], line["Modalities"]) for line in lines.values()] == [("MFT", "V")]


@pytest.mark.slow
def test_selections_stand_apart(on_bp4d, tables):
    first, second = on_bp4d("amf"), on_bp4d("amf", selection="oracle_test", skill=1.2)
    lines = _lines(measured.compare_with_reported("bp4d", 3, [_section(first), _section(second)], tables))
    words = [line["Measured as"] for line in lines if line["Source"] == "amf_table_1" and line["Row"] == "AMF"]
    assert words == ["small; inner_val; seeds: 1", "small; oracle_test; seeds: 1"]


@pytest.mark.slow
def test_a_condition_is_compared_with_the_same_condition(on_bp4d, tables):
    plain, worse = on_bp4d("amf", skill=1.0), on_bp4d("amf", skill=0.3)
    fields = plain.info.model_dump(mode="json") | {"conditions": ["clean", "missing:visual"]}
    both = counts.canonical(pd.concat([plain.counts, worse.counts.assign(condition="missing:visual")]))
    record = type(plain)(type(plain.info).from_fields(fields), both, plain.histograms)
    lines = _measured(measured.compare_with_reported("bp4d", 3, [_section(record)], tables))
    f1 = 100 * scores.macro_mean(scores.f1(scores.sum_over_subjects(worse.counts).cells))
    assert lines["amf_figure_4", "AMF, missing:visual"]["Deviation"] == f"{f1 - 60.7:+.1f}"
    assert ("amf_figure_4", "AMF, missing:depth") not in lines


@pytest.mark.slow
def test_other_folds_other_aus_other_data(on_bp4d, tables):
    section = _section(on_bp4d("amf"))
    assert "4: not comparable" in measured.compare_with_reported("bp4d", 4, [section], tables)[-1]
    assert _measured(measured.compare_with_reported("disfa", 3, [section], tables)) == {}
    assert measured.compare_with_reported("synth", 3, [section], tables)[-1] == "No paper reports on synth."
    assert measured.compare_with_reported("mine", 3, [section], tables)[-1] == "No reported table here is about mine."


def test_bp4dplus_says_that_its_folds_are_unknown(tables):
    blocks = measured.compare_with_reported("bp4dplus", 3, [], tables)
    assert len(_lines(blocks)) == 27
    number = re.search(r"^(\d+)\. Reported on unknown folds", blocks[3], re.M)[1]
    assert all(number in line["Notes"].split(", ") for line in _lines(blocks))


def test_rows_stand_beside_protocols_of_as_many_folds(tables):
    blocks = measured.compare_with_reported("bp4dplus", 4, [], tables)
    assert {line["Row"] for line in _lines(blocks)} == {"FMAE", "FMAE-IAT"}
    assert "Folds: four by subject, listed in the authors' code" in blocks[3]
    (_, text) = measured.compare_with_reported("bp4dplus", 5, [], tables)
    assert text == "Papers report on 3 or 4 folds and this protocol has 5: not comparable."


@pytest.fixture
def reported_board(tmp_path, on_bp4d):
    record = on_bp4d("amf", skill=0.9)
    record.write(tmp_path / "records" / record.relative_path)
    shutil.copytree(OWN, tmp_path / "reported")
    return tmp_path


@pytest.mark.slow
def test_page_and_terminal_show_it(reported_board):
    assert "## Measured and reported numbers" in boards.pages(reported_board, EXTENSIONS)["bp4d_3fold.md"]
    assert "small; inner_val; seeds: 1" in load_leaderboard(reported_board, "bp4d_3fold").render("text")


def test_a_protocol_without_records_shows_what_is_reported(reported_board):
    shutil.rmtree(reported_board / "records")
    shown = load_leaderboard(reported_board, "bp4d_3fold").render("text")
    assert "No records yet." in shown and "PIAP-DF" in shown
    assert "No paper reports on synth." in load_leaderboard(reported_board, "synth_3fold").render("text")
    with pytest.raises(UsageError, match="did you mean 'bp4d_3fold'"):
        load_leaderboard(reported_board, "bp4d_3flod").render("text")
