"""``aubench run`` on a store of each of two data sets."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from factories.brightness import BRIGHTNESS
from factories.protocols import two_folds
from factories.stores import write_store

from aubench.core.protocol_file import load
from aubench.leaderboard import verify
from aubench.leaderboard.records import StoredRecord
from aubench.results import record
from aubench.runs.loading import load_run

PROTOCOL = """
name = "across"
version = 1
title = "from one to other"
train_on = ["one"]
test_on = ["other"]
modalities = ["visual"]
aus = [6, 12]
labels = { one = "occurrence", other = "intensity >= 2" }
threshold = "fixed:0.5"
preset = "tiny"
validation = { fraction = 0.3, candidates = 5 }
same_people = [["one:F001", "other:F001"]]
[parts]
one = ["one:F001", "one:F002", "one:F003", "one:F004"]
other = ["other:F001", "other:F002"]
"""


@pytest.mark.slow
def test_a_run_trains_on_one_data_set_and_tests_on_another(call):
    one = write_store(Path("one"), "one", ["F001", "F002", "F003", "F004"])
    other = write_store(Path("other"), "other", ["F001", "F002"], aus=(12, 1, 6), labels="intensity", seed=1)
    Path("across.toml").write_text(PROTOCOL)
    Path("brightness.py").write_text(BRIGHTNESS)
    changes = ("image_size=32", "crop=28", "frames_per_epoch=20", "epochs=2")
    words = [word for change in changes for word in ("--set", change)]
    stores = ("--store", "one", "--store", "other=other")
    done = call("run", "--method", "brightness.py", "--protocol", "across.toml", *stores, *words)
    assert done.code == 0, done.err
    assert "across: 60 labelled frames (no known variant)" in done.err

    (folder,) = Path("runs").glob("across/*/*")
    fields = json.loads((folder / "record/record.json").read_text())
    assert fields["dataset"]["name"] == "one-other"
    assert fields["dataset"]["members"] == {"one": one.info.digest, "other": other.info.digest}
    assert fields["folds"][0]["test"] == ["other:F001", "other:F002"]
    trained = {*fields["folds"][0]["train"], *fields["folds"][0]["val"]}
    assert trained == {"one:F002", "one:F003", "one:F004"}

    predictions = pd.read_parquet(folder / "fold1/predictions.parquet")
    assert predictions["AU12"].tolist() == (other.frames["AU12"] >= 2).astype(int).tolist()
    run = StoredRecord(folder / "record", record.read(folder / "record"))
    assert [*verify.check_record(run), *verify.check_protocol(run, lambda name: load(Path("across.toml")))] == []
    config = load_run(folder, ["other=other", "one"])
    assert config.run_id == folder.name

    robustness = call("robustness", "--run", str(folder), "--noise", "0.2", *stores)
    assert robustness.code == 0, robustness.err
    lacking = call("run", "--method", "brightness.py", "--protocol", "across.toml", "--store", "one", *words)
    assert lacking.code == 2 and lacking.err.count("\n") <= 2 and "other" in lacking.err


@pytest.mark.slow
def test_a_run_starts_from_another_one_and_pretrains_on_videos(call):
    names = ["F001", "F002", "F003", "F004"]
    write_store(Path("one"), "one", names)
    write_store(Path("stores/video"), "video", ["anna", "ben"], aus=(), seed=1)
    write_store(Path("two"), "two", names, aus=(1, 6, 12), seed=1)
    on = {name: two_folds(name, name, names[:2], names[2:], ["visual"], candidates=2) for name in ("one", "two")}
    Path("one.toml").write_text(on["one"])
    Path("two.toml").write_text(on["two"].replace("aus =", 'starts_from = ["one"]\naus ='))
    method = Path(__file__).parents[1] / "factories" / "clip_autoencoder.py"
    changes = ("image_size=32", "crop=28", "epochs=1", "pretrain_epochs=1", "clip=4", "batch_size=2")
    words = ["--method", method, *(word for change in changes for word in ("--set", change)), "--selection", "last"]

    first = call("run", *words, "--protocol", "one.toml", "--store", "one", "--pretrain-on", "video")
    assert first.code == 0, first.err
    (source,) = Path("runs/one/clip_autoencoder").iterdir()
    refused = call("run", *words, "--protocol", "two.toml", "--store", "two")
    assert refused.code == 2 and "two starts from a run of clip_autoencoder on one" in refused.err
    done = call("run", *words, "--protocol", "two.toml", "--store", "two", "--from-run", source.name)
    assert done.code == 0, done.err
    (folder,) = Path("runs/two/clip_autoencoder").iterdir()
    ledger = json.loads((folder / "record/record.json").read_text())["pretraining"]
    assert [item["run"] for item in ledger if "run" in item] == [source.name] * 2
    assert ["video"] in [item["datasets"] for item in ledger], "what the source was pre-trained on"
    absent = call("run", *words, "--protocol", "one.toml", "--store", "one", "--pretrain-on", "nothing")
    assert absent.code == 2 and "no store of nothing here, and no data set of this name" in absent.err
