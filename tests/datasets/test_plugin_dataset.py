"""A data set that one plug-in file adds: preparation, check, contact sheet, protocol and run."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from factories.protocols import two_folds

from aubench.core import protocol_file
from aubench.core.errors import DataError, UsageError
from aubench.core.plugins import PLUGINS_VARIABLE
from aubench.core.task import Modality
from aubench.data.splits import ProtocolDataset
from aubench.data.store import Store
from aubench.datasets.base import DatasetOptions
from aubench.datasets.catalog import DATASETS, open_store

PLUGIN = Path(__file__).parents[2] / "docs/examples/folder_dataset.py"
SUBJECTS = ("a", "b", "c", "d")
PROTOCOL = two_folds("folder_2fold", "folder", ("a", "b"), ("c", "d"), modalities=("visual",), candidates=4)


@pytest.fixture
def plugin(monkeypatch):
    """Name the plug-in file in the environment, as ``--plugin`` does."""
    monkeypatch.setenv(PLUGINS_VARIABLE, str(PLUGIN))


@pytest.fixture
def images(tmp_path):
    """Draw four subjects with one sequence of eight frames."""
    rng = np.random.default_rng(0)
    rows = []
    for subject in SUBJECTS:
        folder = tmp_path / "images" / subject / "s1"
        folder.mkdir(parents=True)
        for frame in range(8):
            cv2.imwrite(str(folder / f"{frame}.png"), rng.integers(0, 256, (40, 40, 3), np.uint8))
            rows.append((subject, "s1", frame, frame % 2, [1, 0, -1][frame % 3]))
    table = pd.DataFrame(rows, columns=["subject", "sequence", "frame", "AU6", "AU12"])
    table.to_csv(tmp_path / "images/labels.csv", index=False)
    return tmp_path / "images"


@pytest.mark.slow
def test_one_file_adds_a_data_set_to_every_data_command(call, images, tmp_path, monkeypatch):
    monkeypatch.setenv(PLUGINS_VARIABLE, "")
    assert "Folder of face images" not in call("data", "prepare", "--help").out
    listing = call("--plugin", PLUGIN, "data", "prepare", "--help")
    assert "Folder of face images" in listing.out and "bp4d" in listing.out
    options = call("--plugin", PLUGIN, "data", "prepare", "folder", "--help").out
    assert "--source" in options and "--size" in options and "Convert images to grey." in options

    prepared = call("--plugin", PLUGIN, "data", "prepare", "folder", "--source", images, "--size", "32", "--grey")
    assert prepared.code == 0, prepared.err
    assert "32 frames, digest " in prepared.out
    store = Store(tmp_path / "stores/folder")
    assert (store.info.dataset, store.info.version, store.info.size, store.aus) == ("folder", "1", 32, (6, 12))
    first = store.read(Modality.VISUAL, [0])[0]
    assert (first[..., 0] == first[..., 2]).all()
    assert store.frames["AU12"].tolist() == [1, 0, -1, 1, 0, -1, 1, 0] * 4

    checked = call("--plugin", PLUGIN, "data", "check", "folder")
    assert checked.code == 0 and store.info.digest in checked.out
    assert call("--plugin", PLUGIN, "data", "show", "folder", "--out", "sheet.png").code == 0
    assert cv2.imread(str(tmp_path / "sheet.png")).std() > 20


@pytest.mark.slow
def test_a_protocol_names_a_plugin_data_set_and_a_method_runs_on_it(call, images, tmp_path, plugin):
    assert call("data", "prepare", "folder", "--source", images, "--size", "32").code == 0
    (tmp_path / "folder_2fold.toml").write_text(PROTOCOL)
    data = ProtocolDataset(
        open_store("folder", tmp_path / "stores/folder", lambda done, total: None),
        protocol_file.load(tmp_path / "folder_2fold.toml"),
    )
    split = data.split(1, validation=True)
    assert [len(rows) for rows in (split.train, split.val, split.test)] == [8, 8, 16]
    changes = [word for change in ("image_size=32", "crop=28", "epochs=1") for word in ("--set", change)]
    run = call("run", "--no-track", "--method", "resnet_visual", "--protocol", tmp_path / "folder_2fold.toml", *changes)
    assert run.code == 0, run.err


def test_a_damaged_image_and_a_wrong_option_are_named_in_one_line(call, images, plugin):
    (images / "b/s1/3.png").write_bytes(b"x")
    damaged = call("data", "prepare", "folder", "--source", images)
    assert damaged.code == 2 and damaged.err.count("\n") <= 2 and "3.png: cannot be decoded" in damaged.err
    assert call("data", "prepare", "folder").code == 2
    assert "data set 'foldr'" in call("data", "prepare", "foldr", "--source", images).err


def test_a_missing_store_is_reported_with_its_command(tmp_path, plugin):
    with pytest.raises(DataError, match="aubench data prepare folder --source DIR"):
        open_store("folder", tmp_path / "none", lambda done, total: None)
    with pytest.raises(UsageError, match="did you mean 'folder'"):
        open_store("folders", tmp_path / "none", lambda done, total: None)


def test_a_store_of_another_version_is_refused(images, tmp_path, plugin, monkeypatch):
    dataset = DATASETS.get("folder")
    dataset.prepare(images, tmp_path / "store", dataset.Options(size=32), lambda done, total: None)
    monkeypatch.setattr(type(dataset), "version", "2")
    with pytest.raises(DataError, match="was made by version 1 of the reader, this is 2"):
        open_store("folder", tmp_path / "store", lambda done, total: None)


def test_a_sequence_without_a_label_column_or_a_modality_is_refused(images, tmp_path, plugin, monkeypatch):
    dataset = DATASETS.get("folder")

    def prepare(path):
        dataset.prepare(images, tmp_path / path, dataset.Options(size=32), lambda done, total: None)

    monkeypatch.setattr(type(dataset), "aus", (6, 12, 25))
    with pytest.raises(DataError, match="folder a s1: has no label column AU25"):
        prepare("labels")
    monkeypatch.setattr(type(dataset), "aus", (6, 12))
    monkeypatch.setattr(type(dataset), "modalities", {Modality.VISUAL: "RGB", Modality.DEPTH: "none"})
    with pytest.raises(DataError, match="folder a s1: does not hold the images of all modalities"):
        prepare("arrays")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda sequence: {"frames": sequence.frames.drop(columns="missing")}, "a s1: has no column missing"),
        (lambda sequence: {"frames": sequence.frames[::-1]}, "a s1: has frame numbers that do not ascend"),
        (lambda sequence: {"frames": sequence.frames.assign(frame=1)}, "a s1: has frame numbers that do not ascend"),
        (lambda sequence: {"subject": "b"}, "returns b s1 for a s1; return the sequence"),
        (lambda sequence: {"subject": "a/b"}, "'a/b' cannot name a subject; use letters"),
        (lambda sequence: {"sequence": ".."}, r"'\.\.' cannot name a sequence; use letters"),
        (
            lambda sequence: {"images": {m: x / np.float32(255) for m, x in sequence.images.items()}},
            "a s1: has visual images of type float32; return uint8",
        ),
        (
            lambda sequence: {"images": {m: x[:, :16] for m, x in sequence.images.items()}},
            r"a s1: has visual images of \d+ x 16 x 32 x 3 numbers, not \d+ x 32 x 32 x 3; return",
        ),
        (
            lambda sequence: {"images": {m: x[1:] for m, x in sequence.images.items()}},
            r"a s1: has visual images of \d+ x 32 x 32 x 3 numbers, not",
        ),
        (
            lambda sequence: {"frames": sequence.frames.assign(frame=sequence.frames["frame"] + 0.5)},
            "a s1: has frame numbers that are not whole; write",
        ),
        (
            lambda sequence: {"frames": sequence.frames.assign(frame=sequence.frames["frame"] + 2**32)},
            "a s1: has frame numbers that are not whole",
        ),
        (
            lambda sequence: {"frames": sequence.frames.assign(labelled="False")},
            "a s1: has a column labelled of type (object|str), not bool",
        ),
    ],
)
def test_a_sequence_that_cannot_be_stored_as_it_is_is_refused(images, tmp_path, plugin, monkeypatch, change, says):
    dataset = DATASETS.get("folder")
    read = type(dataset).read
    monkeypatch.setattr(type(dataset), "read", lambda *args: replace(whole := read(*args), **change(whole)))
    with pytest.raises(DataError, match=rf"folder:? {says}"):
        dataset.prepare(images, tmp_path / "store", dataset.Options(size=32), lambda done, total: None)


@pytest.mark.parametrize(("column", "line"), [("sequence", 34), ("AU12", 41)])
def test_a_data_set_that_fails_is_one_line(call, images, plugin, column, line):
    pd.read_csv(images / "labels.csv").drop(columns=column).to_csv(images / "labels.csv")
    failed = call("data", "prepare", "folder", "--source", images)
    assert failed.code == 2 and f"FolderDataset.sequences: fails in line {line} (KeyError: " in failed.err
    assert "Traceback" not in failed.err


def test_options_are_checked_by_their_model():
    with pytest.raises(UsageError, match="--size: cannot be '8'"):
        DatasetOptions(size=8)
    with pytest.raises(UsageError, match=r"--frame-offset: cannot be '2'.*'auto', '0' or '-1'"):
        DATASETS.get("bp4d").Options(frame_offset="2")


def test_every_option_has_a_default_and_a_description():
    for dataset in DATASETS.all().values():
        for name, field in dataset.Options.model_fields.items():
            assert field.description, (dataset.name, name)
            assert field.is_required() == ((dataset.name, name) == ("table", "name")), (dataset.name, name)


@pytest.mark.slow
def test_a_resumed_preparation_uses_no_sequence_of_changed_files(images, tmp_path, plugin, capfd):
    dataset = DATASETS.get("folder")

    def prepare(progress=lambda done, total: None):
        dataset.prepare(images, tmp_path / "store", dataset.Options(size=32), progress)

    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(stop)
    cv2.imwrite(str(images / "a/s1/3.png"), np.full((40, 40, 3), 255, np.uint8))
    steps = []
    prepare(lambda done, total: steps.append(done))
    assert steps[0] == 0
    assert "a s1: other files; it is prepared again" in capfd.readouterr().err
    assert Store(tmp_path / "store").read(Modality.VISUAL, [3]).min() == 255


def test_a_source_that_does_not_exist_is_named(call, plugin):
    answer = call("data", "prepare", "folder", "--source", "typo")
    assert answer.code == 2
    assert answer.err == "aubench: typo: does not exist; correct the path of --source DIR\n"
    assert not Path("stores").exists()


def test_a_data_set_whose_plugin_is_not_loaded_has_a_remedy(call, monkeypatch):
    monkeypatch.setenv(PLUGINS_VARIABLE, "")
    Path("own.toml").write_text(PROTOCOL)
    run = ("run", "--no-track", "--method", "late_fusion", "--protocol", "own.toml")
    for words in (("data", "prepare", "folder", "--source", "."), run):
        answer = call(*words)
        assert answer.code == 2
        assert "known: bp4d, " in answer.err and "; --plugin FILE loads others" in answer.err, answer.err


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are UTF-8")
def test_the_source_may_have_a_name_that_is_not_utf_8(images, tmp_path, plugin):
    dataset = DATASETS.get("folder")
    (tmp_path / "link").symlink_to(images.rename(tmp_path / os.fsdecode(b"\xfc")))
    dataset.prepare(tmp_path / "link", tmp_path / "store", dataset.Options(size=32), lambda done, total: None)
    assert len(Store(tmp_path / "store").frames) == 32


def test_paths_among_options_may_begin_with_the_home_folder(tmp_path, monkeypatch):
    class Options(DatasetOptions):
        folder: Path | None = None

    monkeypatch.setenv("HOME", str(tmp_path))
    assert Options(folder="~/images").folder == Options(folder=Path("~/images")).folder == tmp_path / "images"
    assert Options().folder is None
    with monkeypatch.context() as patch:
        patch.setattr("os.path.expanduser", lambda text: text)
        with pytest.raises(UsageError, match="the home folder is unknown"):
            Options(folder="~/images")
