"""The leaderboard as one HTML file: its content, its bytes and what it forbids."""

import base64
import hashlib
import json
import multiprocessing
import os
import re
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from factories.records import remade

from aubench.leaderboard import build
from aubench.leaderboard.protocol_page import results_by_protocol
from aubench.leaderboard.records import StoredRecord
from aubench.leaderboard.site import libraries, site_page
from aubench.results import submission
from aubench.results.record_info import RecordInfo

pytest.importorskip("itables", reason="the page needs the extra site")


def _details(html: str) -> str:
    return zlib.decompress(base64.b64decode(re.search(r'id="all-details">(.*?)</script>', html)[1])).decode()


def _data(html: str) -> list[dict[str, Any]]:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html)[1])


def _html(records) -> str:
    runs = [StoredRecord(Path("records", record.relative_path), record) for record in records]
    return site_page.site_html(results_by_protocol(runs), ())


@pytest.mark.slow
def test_page_is_the_same_twice_and_lists_every_row(records, script_stubs):
    html = _html(records)
    assert html == _html(records)
    data = _data(html)
    assert [item["id"] for item in data] == ["synth_3fold/ranked/inner_val", "synth_3fold/ranked/oracle_test"]
    assert [row["name"] for row in data[0]["charts"]][2:] == ["late_fusion", "resnet_visual"]
    assert [len(row["seeds"]) for row in data[0]["charts"]] == [2, 1, 2, 1]
    articles = _details(html)
    assert all(f'id="row-{row["id"]}"' in articles for item in data for row in item["charts"])


def test_methods_from_elsewhere_have_a_note(make_record, script_stubs):
    note = "so nobody can repeat their runs from it"
    assert note in _html([make_record("mine")])
    assert note not in _html([make_record(), make_record("mine", preset="tiny")])


@pytest.mark.slow
def test_policy_allows_exactly_the_scripts_of_the_page(make_record, script_stubs):
    html = _html([make_record()])
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1]
    scripts = re.findall(r'<script type="module">(.*?)</script>', html, flags=re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    assert len(scripts) == 4
    assert all(f"'sha256-{digest}'" in policy for digest in hashes)
    assert "default-src 'none'" in policy and "connect-src 'none'" in policy and "unsafe" not in policy
    assert not re.search(r'<(?:script|img|link|iframe)[^>]* (?:src|href)="(?!data:,)', html)


@pytest.mark.parametrize("cores", [1, 2])
def test_the_charts_library_is_bundled_meanwhile(script_stubs, monkeypatch, cores):
    monkeypatch.setattr(libraries, "available_cores", lambda: cores)
    with libraries.vega_meanwhile() as vega:
        children = multiprocessing.active_children()
        assert vega() == libraries.vega()
    assert len(children) == cores - 1 and not multiprocessing.active_children()


def test_a_process_that_dies_leaves_the_bundle_to_this_one(monkeypatch):
    parent = os.getpid()
    monkeypatch.setattr(libraries, "available_cores", lambda: 2)
    monkeypatch.setattr(libraries, "vega", lambda: "text" if os.getpid() == parent else os._exit(1))
    with libraries.vega_meanwhile() as vega:
        assert vega() == "text"


@pytest.mark.slow
def test_conditions_of_plugins_that_are_not_loaded_have_no_points(make_record, script_stubs):
    def under(record, *names):
        tables = {
            name: pd.concat([table, *(table.assign(condition=condition) for condition in names)])
            for name, table in (("counts", record.counts), ("histograms", record.histograms))
        }
        digest = {"corruptions": {"blur": "d" * 64}} if "blur:all:3" in names else {}
        return remade(record, tables, conditions=["clean", *names], **digest)

    record = make_record()
    both, known = under(record, "blur:all:3", "noise:all:0.5"), under(record, "noise:all:0.5")
    charts = [_data(_html([each]))[0]["charts"][0]["robustness"] for each in (both, known)]
    assert charts[0] == charts[1] != []


@pytest.mark.slow
def test_a_board_with_other_conditions_than_those_of_the_table_has_their_chart(make_record, script_stubs):
    record = make_record()
    tables = {"counts": pd.concat([record.counts, record.counts.assign(condition="mask:all:0.5")])}
    tables["histograms"] = pd.concat([record.histograms, record.histograms.assign(condition="mask:all:0.5")])
    html = [_html([each]) for each in (record, remade(record, tables, conditions=["clean", "mask:all:0.5"]))]
    assert ['data-chart="robustness"' in page for page in html] == [False, True]
    assert ["No row here has all of its seeds evaluated" in page for page in html] == [True, False]
    partly = _html([remade(record, tables, conditions=["clean", "mask:all:0.5"]), make_record(seed=1)])
    assert "No row here has all of its seeds evaluated" in partly


def test_the_mean_hours_of_seeds_have_the_devices_of_all_of_them(make_record, script_stubs):
    first, second = (make_record("amf", seed=seed) for seed in (0, 1))
    html = _html([first, remade(second, device__kind="cuda", device__name="some GPU", time__seconds=1000.0)])
    assert "<td>some processor; some GPU</td>" in html and "several kinds of devices" in _details(html)
    assert "several kinds of devices" not in _details(_html([first, second]))


@pytest.mark.slow
def test_submitted_predictions_have_no_cost_and_no_recipe(make_record, script_stubs):
    record = make_record()
    fields = submission.drop_unseen(record.info.model_dump(mode="json"))
    info = RecordInfo.from_fields(fields | {"selection": "submitted", "predictions": "d" * 64})
    html = _html([replace(record, info=info)])
    assert 'data-board="synth_3fold/submitted/submitted"' in html and 'data-chart="seeds"' in html
    assert 'data-chart="gflops"' not in html and 'data-chart="hours"' not in html
    details = _details(html)
    assert "aubench score PREDICTIONS" in details and "Not seen." in details and "git worktree" not in details


def test_build_without_the_packages_names_the_extra_and_removes_an_old_page(small_board, monkeypatch, capsys):
    from aubench.cli.main import main

    page = small_board / "site" / "index.html"
    page.parent.mkdir()
    page.write_text("old")
    monkeypatch.setattr(libraries, "PACKAGES", {"no_such_module": "itables"})
    monkeypatch.setattr("sys.argv", ["aubench", "leaderboard", "build", "--root", str(small_board)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code in (0, None)
    assert capsys.readouterr().err == "no site/index.html without itables: pip install 'aubench[site]'\n"
    assert not page.exists() and (small_board / build.INDEX).exists()
