"""Records: byte-exact round trips in both schemas, and rejection of everything else."""

import json
from pathlib import Path

import pytest

from aubench.core import hashing
from aubench.core.errors import RecordError
from aubench.results import record
from aubench.results.record_info import RecordInfo


def _with(fields: dict, path: str, value: object) -> dict:
    *parents, last = path.split(".")
    inner = fields
    for key in parents:
        inner = inner[int(key)] if isinstance(inner, list) else inner[key]
    inner[int(last) if isinstance(inner, list) else last] = value
    return fields


@pytest.mark.slow
@pytest.mark.parametrize("schema", [1, 2])
def test_round_trip_to_the_byte(tmp_path, make_record, schema):
    original = make_record(schema=schema)
    original.write(tmp_path / "a")
    copy = record.read(tmp_path / "a")
    copy.write(tmp_path / "b")
    assert copy.info == original.info
    assert RecordInfo.from_fields(copy.info.model_dump(mode="json")) == original.info
    for name in record.FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted(record.FILES)


COMMITTED = sorted(Path(__file__).parents[2].glob("leaderboard/**/record.json"))
SCHEMA_1 = Path(__file__).parent / "schema_1" / record.FILE
"""Record that a command wrote before there was schema 2."""


@pytest.mark.slow
def test_unfinished_files_of_a_killed_process_are_removed(tmp_path, make_record):
    (tmp_path / ".counts.csv.abc.tmp").write_text("half")
    make_record().write(tmp_path)
    assert not list(tmp_path.glob(".*"))


def test_committed_records_are_written_byte_for_byte(tmp_path):
    paths = [SCHEMA_1, *COMMITTED[::12]]
    assert len(paths) >= 8
    assert {json.loads(path.read_text())["schema_version"] for path in paths} == {1, 2}
    for path in paths:
        record.read(path.parent).write(tmp_path)
        for name in record.FILES:
            assert (tmp_path / name).read_bytes() == (path.parent / name).read_bytes()


@pytest.mark.slow
def test_schema_2_names_the_tables_by_their_digest_and_stores_no_scores(tmp_path, make_record):
    make_record(recipe={"epochs": 3}).write(tmp_path)
    fields = json.loads((tmp_path / record.FILE).read_text())
    for name in ("counts", "histograms"):
        assert fields["tables"][name] == hashing.hash_file(tmp_path / f"{name}.csv")
    assert "summary" not in fields and not {"also", "changed"} & fields.keys()
    assert (fields["overrides"], fields["other_environments"]) == (["epochs"], [])


@pytest.mark.slow
def test_fields_of_schema_1_have_the_same_meaning(make_record):
    fields = make_record(schema=1).info.model_dump(mode="json")
    environment = {name: fields[name] for name in ("device", "packages", "git")}
    info = RecordInfo.from_fields(fields | {"changed": ["epochs"], "also": [environment]})
    assert info.overrides == ("epochs",) and len(info.environments) == 2
    assert info.stored_summary.f1_mean == fields["summary"]["f1_mean"]
    assert info.model_dump(mode="json")["changed"] == ["epochs"]


@pytest.mark.parametrize(
    ("schema", "name"),
    [
        *((1, name) for name in ("overrides", "other_environments", "stored_summary")),
        *((2, name) for name in ("changed", "also", "summary", "stored_summary")),
    ],
)
def test_a_name_of_the_other_schema_is_refused(make_record, schema, name):
    fields = make_record(schema=schema).info.model_dump(mode="json")
    with pytest.raises(RecordError, match=f"^record.json: {name}: Extra inputs"):
        RecordInfo.from_fields(fields | {name: []})


@pytest.mark.parametrize(("schema", "name"), [(1, "summary"), (2, "tables")])
def test_each_schema_has_its_own_way_to_prove_the_tables(make_record, schema, name):
    fields = make_record(schema=schema).info.model_dump(mode="json")
    del fields[name]
    with pytest.raises(RecordError, match="schema 1 has a summary, a record of schema 2 has the digests"):
        RecordInfo.from_fields(fields)


def test_a_search_is_stored_in_full_or_not_at_all(make_record):
    fields = make_record().info.model_dump(mode="json")
    assert fields["search"] == {"trials": 0} and not RecordInfo.from_fields(fields).search.tuned
    search = {"trials": 20, "study": "mine", "sampler": "tpe", "pruner": "none", "seconds": 1.5, "frames": 9000}
    tuned = RecordInfo.from_fields(fields | {"search": search})
    assert tuned.search.tuned and tuned.model_dump(mode="json")["search"] == search
    for wrong in (
        {"trials": 0, "seconds": 1.5},
        search | {"seconds": -1},
        search | {"frames": 1.5},
        search | {"cost": 1},
    ):
        with pytest.raises(RecordError, match="search"):
            RecordInfo.from_fields(fields | {"search": wrong})


def test_its_relative_path_is_protocol_method_run(make_record):
    original = make_record("amf")
    assert original.relative_path.parts == ("synth_3fold", "amf", original.info.run)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("surprise", 1, "surprise"),
        ("method.surprise", 1, "method.surprise"),
        ("folds.0.surprise", 1, "folds.0.surprise"),
        ("schema_version", 3, "schema_version"),
        ("seed", "3", "seed"),
        ("seed", -1, "seed"),
        ("seed", 1.5, "seed"),
        ("run", "../../x", "run"),
        ("run", "x" * 65, "run"),
        ("method.name", "a/b", "method.name"),
        ("method.name", "a\n", "method.name"),
        ("method.title", "x" * 301, "method.title"),
        ("method.title", "two\nlines", "method.title"),
        ("method.fidelity", "perfect", "method.fidelity"),
        ("method.modalities", ["thermal"], "does not offer"),
        ("method.modalities", ["smell"], "method.modalities"),
        ("protocol.digest", "abc", "protocol.digest"),
        ("selection", "best", "selection"),
        ("threshold", "fixed:0.4", "threshold"),
        ("conditions", ["missing:visual"], "clean"),
        ("compute.total.flops", 3, "twice macs"),
        ("git.commit", "HEAD", "git.commit"),
        ("device.precision", "best of all", "device.precision"),
        ("device.precision", "64-true", "device.precision"),
        ("device.fp32_precision", "high", "device.fp32_precision"),
        ("device.instructions", "[AVX2](https://x.org)", "device.instructions"),
        ("device.kind", "abacus", "device.kind"),
        ("device.threads", 0, "device.threads"),
        ("device.count", 1, "device.count"),
        ("device.count", 10**15, "device.count"),
        ("time.started", "yesterday", "time.started"),
        ("folds.0.best_epoch", 11, "best_epoch"),
        ("folds.0.train_prevalence.AU1", [9, 8], "more positives"),
        ("folds.1.fold", 1, "ascending"),
        ("summary.f1_mean", 1.2, "summary.f1_mean"),
        ("tables.counts", "abc", "tables.counts"),
        ("recipe.nested", {"deep": [1, {"x": float("inf")}]}, "float"),
        ("speed.train_frames_per_s", float("nan"), "speed.train_frames_per_s"),
    ],
)
def test_a_field_out_of_bounds_is_refused_and_named(make_record, path, value, says):
    schema = 1 if path.startswith("summary") else 2
    fields = _with(make_record(schema=schema).info.model_dump(mode="json"), path, value)
    with pytest.raises(RecordError) as error:
        RecordInfo.from_fields(fields)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_subject_in_two_roles_is_refused(make_record):
    fields = make_record().info.model_dump(mode="json")
    fields["folds"][0]["val"][0] = fields["folds"][0]["test"][0]
    with pytest.raises(RecordError, match="twice in the roles"):
        RecordInfo.from_fields(fields)


def test_a_missing_field_is_named(make_record):
    fields = make_record().info.model_dump(mode="json")
    del fields["dataset"]["digest"]
    with pytest.raises(RecordError, match=r"dataset\.digest"):
        RecordInfo.from_fields(fields)


@pytest.mark.slow
@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema_version": 1, "schema_version": 1}', "[" * 10_000, "\xff"])
def test_malformed_json_is_reported_in_one_line(tmp_path, make_record, content):
    make_record().write(tmp_path)
    (tmp_path / record.FILE).write_bytes(content.encode("latin-1"))
    with pytest.raises(RecordError) as error:
        record.read(tmp_path)
    assert str(tmp_path / record.FILE) in str(error.value)
    assert "\n" not in str(error.value)


def test_an_oversized_record_is_refused(tmp_path, make_record):
    original = make_record()
    original.write(tmp_path)
    fields = original.info.model_dump(mode="json") | {"recipe": {"long": "x" * 300_000}}
    (tmp_path / record.FILE).write_text(json.dumps(fields))
    with pytest.raises(RecordError, match="larger than 262,144 bytes"):
        record.read(tmp_path)
