"""Files of runs that a copy broke: one line that names the file, also where the record is still there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from factories.protocols import two_folds

from aubench.core.errors import AubenchError
from aubench.plots import tuning_curves
from aubench.results import record as record_file
from aubench.runs import fold as fold_module
from aubench.runs import loading, run_file
from aubench.runs.record_builder import write_record
from aubench.tracking import studies

pytestmark = pytest.mark.slow
PROTOCOL = two_folds("quick", "synth", ("F001", "F002", "F003"), ("M001", "M002", "M003"))
SMALL = {"image_size": 32, "crop": 28, "frames_per_epoch": 32, "epochs": 1, "validation_stride": 8}
OPTIONS = [word for name, value in SMALL.items() for word in ("--set", f"{name}={value}")]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def zeros(path: Path) -> None:
    path.write_bytes(b"\0" * path.stat().st_size)


def binary(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00\xd8" * 100)


def other_json(path: Path) -> None:
    path.write_text("[1, 2]\n")


def no_content(path: Path) -> None:
    path.write_text("{}\n")


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


BREAKS = [cut, empty, zeros, binary, other_json, no_content, folder]


@pytest.fixture(scope="module")
def finished(decide, tmp_path_factory) -> Path:
    """Folder with a finished run of two folds."""
    place = tmp_path_factory.mktemp("finished")
    (place / "quick.toml").write_text(PROTOCOL)
    config = decide(place / "runs", "resnet_depth", protocol=str(place / "quick.toml"), seed=0, **SMALL)
    device = {"kind": "cpu", "name": "some"}
    started = {"started": "2026-01-01T00:00:00Z", "device": device}
    run_file.write(config, started | {"packages": {}, "git": {"commit": None, "dirty": None}})
    for fold in (1, 2):
        fold_module.run_fold(config, fold, "cpu", 0, lambda event: None)
    assert write_record(config) is not None
    return place


@pytest.fixture
def run_dir(finished, tmp_path) -> Path:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return next((tmp_path / "runs/quick/resnet_depth").iterdir())


@pytest.fixture
def run(call, small_store) -> Callable[..., object]:
    words = ("run", "--method", "resnet_depth", "--protocol", "quick.toml", "--store", small_store, "--no-track")
    return lambda *more: call(*words, *OPTIONS, *more)


def refused(answer, *parts: str) -> None:
    line = answer.err.splitlines()[-1]
    assert answer.code == 2 and line.startswith("aubench: ") and "Traceback" not in answer.err, answer
    assert all(part in line for part in parts), line


@pytest.mark.parametrize("has_record", [True, False])
@pytest.mark.parametrize("name", ["fold1/result.json", "run.json"])
@pytest.mark.parametrize("break_file", BREAKS, ids=lambda function: function.__name__)
def test_run_names_the_file_and_how_to_go_on(run, run_dir, break_file, name, has_record):
    break_file(run_dir / name)
    if not has_record:
        shutil.rmtree(run_dir / "record")
    refused(run(), f"{run_dir.name}/{name}", "delete")


@pytest.mark.parametrize("name", ["fold1/counts.csv", "fold2/histograms.csv"])
@pytest.mark.parametrize("break_file", [cut, empty, folder], ids=lambda function: function.__name__)
def test_a_broken_table_of_a_fold_is_named(run, run_dir, break_file, name):
    break_file(run_dir / name)
    shutil.rmtree(run_dir / "record")
    refused(run(), f"{run_dir.name}/{name}", "delete")


@pytest.mark.parametrize("name", record_file.FILES)
@pytest.mark.parametrize("break_file", [cut, empty, binary], ids=lambda function: function.__name__)
def test_a_broken_record_is_built_again_from_the_folds(run, run_dir, break_file, name):
    path = run_dir / "record" / name
    before = path.read_bytes()
    break_file(path)
    answer = run()
    assert answer.code == 0 and path.read_bytes() == before, answer


def test_a_folder_in_the_place_of_a_record_is_named(run, run_dir):
    folder(run_dir / "record" / record_file.FILE)
    refused(run(), f"record/{record_file.FILE}")


@pytest.mark.parametrize("break_file", BREAKS, ids=lambda function: function.__name__)
def test_a_broken_run_is_skipped_with_the_name_of_the_file(run_dir, small_store, break_file):
    other = shutil.copytree(run_dir, run_dir.with_name("0" * 16))
    break_file(other / "run.json")
    third = shutil.copytree(run_dir, run_dir.with_name("1" * 16))
    break_file(third / "fold1/result.json")
    loaded = loading.load_finished_runs([other, third, run_dir], small_store)
    assert [config.run_dir.name for config in loaded.configs] == [run_dir.name]
    assert [folder for folder, _ in loaded.skipped] == [other, third]


def test_a_run_without_its_store_or_method_is_skipped_with_the_name_of_the_file(run_dir, small_store):
    header = json.loads((run_dir / "run.json").read_text())
    (run_dir / "run.json").write_text(json.dumps(header | {"store": {"digest": "0"}}))
    other = shutil.copytree(run_dir, run_dir.with_name("0" * 16))
    (other / "run.json").write_text(json.dumps(header | {"asked": header["asked"] | {"method": "gone/mine.py"}}))
    loaded = loading.load_finished_runs([run_dir, other], small_store)
    reasons = [f"{small_store}: is not the store that the run read", f"{Path('gone/mine.py').absolute()}: no such file"]
    assert loaded.skipped == tuple(zip([run_dir, other], reasons, strict=True))


@pytest.mark.parametrize("break_file", [cut, empty, folder], ids=lambda function: function.__name__)
@pytest.mark.parametrize("name", ["checkpoint.safetensors", "result.json"])
def test_a_method_without_its_weights_is_one_line(run_dir, small_store, break_file, name):
    config = loading.load_run(run_dir, small_store)
    break_file(run_dir / "fold1" / name)
    with pytest.raises(AubenchError, match=name):
        loading.load_method(config, 1)


def test_lost_weights_are_one_line(run_dir, small_store):
    config = loading.load_run(run_dir, small_store)
    (run_dir / "fold1/checkpoint.safetensors").unlink()
    with pytest.raises(AubenchError, match=r"checkpoint.safetensors.*missing"):
        loading.load_method(config, 1)


@pytest.mark.parametrize("break_file", BREAKS, ids=lambda function: function.__name__)
def test_a_broken_state_is_named_with_the_way_on(finished, decide, tmp_path, break_file):
    config = decide(tmp_path / "runs", "resnet_depth", protocol=str(finished / "quick.toml"), seed=1, **SMALL)
    state = config.fold_dir(1) / "state.safetensors"
    state.parent.mkdir(parents=True)
    state.write_bytes(b"half of a state")
    break_file(state)
    with pytest.raises(AubenchError, match=r"state.safetensors.*delete"):
        fold_module.run_fold(config, 1, "cpu", 0, lambda event: None)


def test_a_result_of_an_earlier_version_is_still_read(run, run_dir):
    path = run_dir / "fold1/result.json"
    content = json.loads(path.read_text())
    for name in ("compute", "data"):
        content.pop(name, None)
    path.write_text(json.dumps(content))
    shutil.rmtree(run_dir / "record")
    assert run().code == 0


@pytest.mark.parametrize("name", ["study.json", "finished/00000.json"])
@pytest.mark.parametrize("break_file", BREAKS, ids=lambda function: function.__name__)
def test_a_broken_file_of_a_study_is_one_line_for_figures_and_tracking(tmp_path, break_file, name):
    study = tmp_path / "runs/studies/mine"
    header = ("study", "protocol_name", "method", "preset", "sampler", "pruner", "seed", "folds", "fixed", "precision")
    trial = {"trial": 0, "state": "complete", "f1": 0.5, "values": {}, "epochs": [[0, 0.5]], "recipe": {}}
    trial |= {"cost": {"run": "a", "seconds": 1.0, "frames": 10, "pretraining": {}}}
    (study / "finished").mkdir(parents=True)
    (study / "study.json").write_text(json.dumps(dict.fromkeys(header, "x") | {"epochs": 1}))
    (study / "finished/00000.json").write_text(json.dumps(trial))
    break_file(study / name)
    with pytest.raises(AubenchError, match=name):
        tuning_curves.read(tmp_path / "runs", ["mine"])
    result = studies.sync(study, f"sqlite:///{tmp_path}/mlflow.db")
    assert not result.ok and name in result.detail, result
