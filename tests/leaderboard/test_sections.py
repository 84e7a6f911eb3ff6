"""Sections of methods from outside this repository, and of earlier versions of a protocol."""

from dataclasses import replace
from importlib import resources

import pytest

from aubench.core import protocol_versions, registry
from aubench.leaderboard import build, entries_file, verify
from aubench.leaderboard.protocol_page import results_by_protocol
from aubench.leaderboard.records import StoredRecord
from aubench.metrics import scores
from aubench.results.run_id import id_of_record


def _stored(root, record):
    return StoredRecord(root / "records" / record.relative_path, record)


def _external(record, name="stranger"):
    method = record.info.method.model_copy(update={"name": name, "title": name, "source": "path", "file": "f" * 64})
    info = record.info.model_copy(update={"method": method})
    return replace(record, info=info.model_copy(update={"run": id_of_record(info)}))


@pytest.mark.slow
def test_methods_from_outside_are_ranked_among_themselves_below_the_others(make_record, tmp_path):
    best = _external(make_record("amf", skill=1.5))
    runs = [_stored(tmp_path, record) for record in (best, make_record("amf", skill=0.6), make_record(skill=0.5))]
    (results,) = results_by_protocol(runs)
    inside, outside = results.ranked
    assert [entry.name for entry in inside.methods] == ["amf", "late_fusion"]
    assert [(entry.name, entry.position, entry.rank) for entry in outside.methods] == [("stranger", 1, 1)]
    files = build.files_of(tmp_path, runs)
    page = files["synth_3fold.md"]
    assert page.index("## Epoch chosen on validation subjects\n") < page.index("methods from outside this repository\n")
    assert "nobody can repeat their runs" in page
    assert "| amf " in files["README.md"] and "stranger" not in files["README.md"]


@pytest.fixture
def raised(tmp_path, monkeypatch):
    """Raise the version of ``synth_3fold`` to 2, with the former file beside it; returns the lookup."""
    folder = tmp_path / "earlier"
    folder.mkdir()
    text = resources.files("aubench.protocols").joinpath("synth_3fold.toml").read_text()
    (folder / "synth_3fold_v1.toml").write_text(text)
    (folder / "changes.toml").write_text(
        '[[change]]\nprotocol = "synth_3fold"\nversion = 2\ntext = "Validation subjects are drawn anew."\n'
    )
    monkeypatch.setattr(protocol_versions, "folder", lambda: folder)
    current = registry.find_protocol("synth_3fold").model_copy(update={"version": 2})
    current.__dict__.pop("digest", None)
    return lambda name: current


@pytest.mark.slow
def test_records_of_an_earlier_version_stay_valid_and_are_listed_apart(make_record, tmp_path, raised):
    old, new = make_record("amf", skill=0.9), make_record("amf", skill=0.6, protocol=raised("synth_3fold"))
    assert new.info.protocol.version == 2 and new.info.protocol.digest != old.info.protocol.digest
    runs = [_stored(tmp_path, record) for record in (old, new)]
    for run in runs:
        assert not list(verify.check_protocol(run, raised, is_sound=False)), run.info.protocol
    (results,) = results_by_protocol(runs)
    assert [table.version for table in results.ranked] == [2, 1]
    page = build.files_of(tmp_path, runs)["synth_3fold.md"]
    assert "subjects, protocol version 2\n" in page and "subjects, protocol version 1 (earlier)\n" in page
    assert "- Version 2: Validation subjects are drawn anew." in page


def test_the_best_f1_of_an_earlier_version_is_not_that_of_the_protocol(make_record, tmp_path, raised):
    old, new = make_record("amf", skill=0.9), make_record("amf", skill=0.6, protocol=raised("synth_3fold"))
    for records, best in (([old], "–"), ([old, new], f"{100 * scores.summary_of(new).f1_mean:.1f}")):
        readme = build.files_of(tmp_path, [_stored(tmp_path, record) for record in records])["README.md"]
        (line,) = [line for line in readme.splitlines() if line.startswith("| [synth_3fold]")]
        assert line.split("|")[-3].strip() == best


def test_an_unknown_version_is_found(make_record, tmp_path, raised):
    record = make_record("amf", skill=0.9)
    protocol = record.info.protocol.model_copy(update={"version": 3})
    run = _stored(tmp_path, replace(record, info=record.info.model_copy(update={"protocol": protocol})))
    findings = [finding.what for finding in verify.check_protocol(run, raised)]
    assert "protocol.version: says 3, the protocol synth_3fold has 2" in findings


def test_earlier_files_are_of_the_version_that_their_name_says_and_every_version_has_one():
    for path in protocol_versions.folder().glob("*_v*.toml"):
        name, _, version = path.stem.rpartition("_v")
        assert protocol_versions.earlier_protocol(name, int(version)).version == int(version)
    for change in protocol_versions.changes():
        assert protocol_versions.earlier_protocol(change.protocol, change.version - 1) is not None
    for name in registry.builtin_protocols():
        versions = [change.version for change in protocol_versions.changes(name)]
        assert versions == list(range(2, registry.find_protocol(name).version + 1))


def test_a_change_of_a_protocol_makes_stored_entries_outdated(tmp_path, monkeypatch):
    before = entries_file.inputs_digest(tmp_path)
    change = protocol_versions.ProtocolChange("synth_3fold", 2, "Another draw.")
    monkeypatch.setattr(protocol_versions, "changes", lambda name=None: (change,))
    assert entries_file.inputs_digest(tmp_path) != before
