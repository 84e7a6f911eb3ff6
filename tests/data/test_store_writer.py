"""Stores: one writer at a time, partial stores of another source, and mixed arrays."""

import errno
import fcntl
import hashlib
import json
import os
import pickle
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aubench.core.errors import DataError
from aubench.core.task import Modality
from aubench.data.array_file import check_array
from aubench.data.store import Store
from aubench.data.store_format import StoreInfo, expected_arrays
from aubench.data.store_writer import Sequence, StoreBusyError, StoreWriter

PLAN = {"dataset": "any", "source": "/a", "size": 8}


def one(subject: str = "F001", size: int = 8, frames: int = 3) -> Sequence:
    images = {Modality.DEPTH: np.full((frames, size, size, 1), 7, np.uint8)}
    table = pd.DataFrame({"frame": range(frames), "source": "x", "labelled": True, "missing": "", "AU1": np.int8(1)})
    return Sequence(subject, "T1", images, table)


def finish(writer: StoreWriter, size: int = 8) -> Store:
    return writer.finish(dataset="any", version="1", size=size, modalities={Modality.DEPTH: "d"}, crop="")


def test_a_second_writer_of_the_same_store_is_refused_in_one_line(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "store", PLAN) as writer:
        writer.add(one())
        with pytest.raises(StoreBusyError, match=r"store: another process is writing this store; wait until it ends"):
            StoreWriter(tmp_path / "store", PLAN)
    with StoreWriter(tmp_path / "store", PLAN) as writer:
        assert writer.has("F001", "T1")
        finish(writer)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_counts_and_skipped_frames_may_be_numbers_of_numpy(tmp_path: Path) -> None:
    numbers = {"skipped": [(np.int32(7), "no face")], "notes": {"frames": np.int64(3), "why": "x"}}
    with StoreWriter(tmp_path / "store", PLAN) as writer:
        writer.add(replace(one(), **numbers))
        store = finish(writer)
    assert (store.path / "skipped.csv").read_text().splitlines()[1] == "F001,T1,7,no face"
    assert (store.path / "sequences.csv").read_text().splitlines()[1].startswith("F001,T1,3,x,")


def test_a_store_may_be_named_by_a_dot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with StoreWriter(Path(), PLAN) as writer:
        writer.add(one())
        finish(writer).verify(full=True)
    assert (tmp_path / "empty/store.json").exists()


def test_workers_write_under_the_lock_of_their_parent(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "store", PLAN) as writer:
        pickle.loads(pickle.dumps(writer)).add(one())
        assert writer.has("F001", "T1")


def test_a_worker_stores_the_state_of_the_files_of_its_sequence(tmp_path: Path) -> None:
    inputs = {("F001", "T1"): {"photos": [3, "x"]}, ("F002", "T1"): {"photos": [4, "y"]}}
    with StoreWriter(tmp_path / "store", PLAN) as writer:
        writer.discard_changed(inputs)
        pickle.loads(pickle.dumps(writer.for_sequence("F001", "T1"))).add(one())
        assert writer.discard_changed(inputs) == []
        assert writer.discard_changed({("F001", "T1"): {"photos": [3, "z"]}}) == [
            "F001 T1: other photos; it is prepared again"
        ]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_disk_without_locks_is_named_and_used(tmp_path: Path, monkeypatch, capfd, number: int) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with StoreWriter(tmp_path / "store", PLAN) as writer:
        writer.add(one())
        finish(writer)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    assert capfd.readouterr().err.count("this disk does not support locks") == 1


def test_a_disk_without_locks_still_has_one_writer_on_this_machine(tmp_path: Path, monkeypatch) -> None:
    real = fcntl.flock

    def flock(descriptor: int, operation: int) -> None:
        if str(Path(f"/proc/self/fd/{descriptor}").readlink()).startswith(str(tmp_path / "stores")):
            raise OSError(errno.ENOLCK, "No locks available")
        real(descriptor, operation)

    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    monkeypatch.setattr(fcntl, "flock", flock)
    with StoreWriter(tmp_path / "stores/any", PLAN), pytest.raises(StoreBusyError):
        StoreWriter(tmp_path / "stores/any", PLAN)


def test_a_partial_store_without_its_plan_is_refused(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "store", PLAN) as writer:
        writer.add(one())
    (tmp_path / "store.partial/plan.json").unlink()
    with pytest.raises(DataError, match=r"store\.partial: its options and source are unknown; delete it and repeat"):
        StoreWriter(tmp_path / "store", PLAN)
    assert (tmp_path / "store.partial/arrays/F001/T1.depth.npy").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", "\xff"])
def test_a_damaged_plan_is_refused_in_one_line(tmp_path: Path, content: str) -> None:
    StoreWriter(tmp_path / "store", PLAN).close()
    (tmp_path / "store.partial/plan.json").write_text(content, encoding="latin-1")
    with pytest.raises(DataError, match=r"store\.partial: its options and source are unknown"):
        StoreWriter(tmp_path / "store", PLAN)


def test_what_a_killed_start_leaves_is_used(tmp_path: Path) -> None:
    (tmp_path / "store.partial").mkdir()
    (tmp_path / "store.partial/.plan.json.x.tmp").write_text("{")
    StoreWriter(tmp_path / "store", PLAN).close()


def test_other_options_are_named(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "store", PLAN) as writer:
        writer.add(one())
    with pytest.raises(DataError, match="was begun with other options: size was 8 and is 16; delete it"):
        StoreWriter(tmp_path / "store", PLAN | {"size": 16})
    with pytest.raises(DataError, match="was begun with other options: source was /a and is /b"):
        StoreWriter(tmp_path / "store", PLAN | {"source": "/b"})
    assert json.loads((tmp_path / "store.partial/plan.json").read_text()) == PLAN


def test_a_start_that_finished_no_sequence_does_not_fix_the_options(tmp_path: Path) -> None:
    StoreWriter(tmp_path / "store", PLAN).close()
    StoreWriter(tmp_path / "store", PLAN | {"size": 16}).close()
    assert json.loads((tmp_path / "store.partial/plan.json").read_text()) == PLAN | {"size": 16}


def test_a_sequence_of_another_source_never_enters_a_store(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "other", PLAN | {"source": "/b"}) as other:
        other.add(one("F002"))
    with StoreWriter(tmp_path / "store", PLAN) as writer:
        writer.add(one())
        for folder in ("parts", "arrays"):
            for file in sorted((tmp_path / "other.partial" / folder).glob("F002*")):
                file.rename(tmp_path / "store.partial" / folder / file.name)
        with pytest.raises(DataError, match=r"F002/T1\.json: was prepared with other options or from another source"):
            finish(writer)


def test_a_sequence_of_another_size_never_enters_a_store(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "store", PLAN) as writer:
        writer.add(one())
        writer.add(one("F002", size=9))
        with pytest.raises(DataError, match=r"F002/T1\.depth\.npy: holds uint8 \(3, 9, 9, 1\), not .* 8, 8, 1\)"):
            finish(writer)


def forge(store: Store, name: str, values: np.ndarray) -> None:
    """Replace an array of a store and sign it."""
    np.save(store.path / name, values)
    digest = hashlib.sha256((store.path / name).read_bytes()).hexdigest()
    fields = store.info.model_dump(exclude={"digest"}) | {"arrays": store.info.arrays | {name: digest}}
    (store.path / "store.json").write_text(StoreInfo.with_digest(**fields).model_dump_json(exclude_none=True))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    with StoreWriter(tmp_path / "store", PLAN) as writer:
        writer.add(one())
        writer.add(one("F002"))
        return finish(writer)


@pytest.mark.parametrize(
    "values",
    [np.zeros((3, 9, 9, 1), np.uint8), np.zeros((2, 8, 8, 1), np.uint8), np.zeros((3, 8, 8, 1), np.float32)],
    ids=["size", "frames", "type"],
)
@pytest.mark.parametrize("full", [True, False])
def test_a_check_finds_an_array_of_another_size(store: Store, values: np.ndarray, full: bool) -> None:
    forge(store, "arrays/F002/T1.depth.npy", values)
    with pytest.raises(DataError, match=r"F002/T1\.depth\.npy: holds .*, not uint8 \(3, 8, 8, 1\); delete the store"):
        Store(store.path).verify(full=full)


def test_a_check_finds_a_sequence_of_another_source(store: Store) -> None:
    path = store.path / "sequences.csv"
    notes = pd.read_csv(path)
    notes.loc[1, "origin"] = "0123456789ab"
    notes.to_csv(path, index=False)
    with pytest.raises(DataError, match=r"sequences\.csv: its sequences have several sources or options"):
        Store(store.path).verify(full=True)


def test_tables_of_a_store_are_read_with_names_as_text(store: Store) -> None:
    (store.path / "skipped.csv").write_text("subject,sequence,frame,reason\n001,NA,-1,no labels\n")
    assert Store(store.path).skipped().to_dict("records") == [
        {"subject": "001", "sequence": "NA", "frame": -1, "reason": "no labels"}
    ]
    assert Store(store.path).sequence_notes()["subject"].tolist() == ["F001", "F002"]


@pytest.mark.parametrize("content", [b"", b"subject,sequence\n", b"\xff\xfe\n"], ids=["empty", "columns", "bytes"])
def test_damaged_table_of_skipped_frames_is_named(store: Store, content: bytes) -> None:
    (store.path / "skipped.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"skipped\.csv: cannot be read .*; delete the store"):
        Store(store.path).skipped()


def test_a_check_finds_a_missing_array(store: Store) -> None:
    arrays = dict(list(store.info.arrays.items())[:1])
    fields = store.info.model_dump(exclude={"digest"}) | {"arrays": arrays}
    (store.path / "store.json").write_text(StoreInfo.with_digest(**fields).model_dump_json(exclude_none=True))
    with pytest.raises(DataError, match=r"F002/T1\.depth\.npy: is missing from the store"):
        Store(store.path).verify(full=True)


def test_finished_sequences_are_made_again_where_their_files_have_changed(tmp_path: Path) -> None:
    keys = [("F001", "T1"), ("F002", "T1"), ("M001", "T1")]
    before = {key: {"photos": [3, "x"], "meshes": [0, ""]} for key in keys}
    with StoreWriter(tmp_path / "store", PLAN) as writer:
        assert writer.discard_changed(before) == []
        for subject, _ in keys:
            writer.add(one(subject))
    after = {keys[0]: before[keys[0]], keys[1]: {"photos": [3, "x"], "meshes": [3, "y"]}}
    with StoreWriter(tmp_path / "store", PLAN) as writer:
        assert writer.discard_changed(after) == [
            "F002 T1: 3 meshes, before 0; it is prepared again",
            "M001 T1: no longer there; it is left out",
        ]
        assert [writer.has(*key) for key in keys] == [True, False, False]
        writer.add(one("F002"))
        store = finish(writer)
    assert set(store.info.arrays) == {"arrays/F001/T1.depth.npy", "arrays/F002/T1.depth.npy"}
    assert not (store.path / "arrays/M001").exists()


def test_two_sequences_never_share_a_file(tmp_path: Path) -> None:
    keys = [("a_b", "c"), ("a", "b_c")]
    with StoreWriter(tmp_path / "store", PLAN) as writer:
        for subject, sequence in keys:
            assert not writer.has(subject, sequence)
            writer.add(replace(one(subject), sequence=sequence))
        store = finish(writer)
    assert list(dict.fromkeys(zip(store.frames["subject"], store.frames["sequence"], strict=True))) == keys[::-1]
    store.verify(full=True)


def test_subjects_with_names_of_system_files_are_stored(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "store", PLAN) as writer:
        writer.add(one("lost+found"))
        assert set(finish(writer).frames["subject"]) == {"lost+found"}


def test_a_store_without_a_frame_names_and_lists_the_reasons(tmp_path: Path) -> None:
    reasons = ["no face", "no face", "no photo"]
    empty = replace(one(), images={}, frames=one().frames[:0], skipped=list(enumerate(reasons)))
    with StoreWriter(tmp_path / "store", PLAN) as writer:
        with pytest.raises(DataError, match="not one frame could be used, because there is none; check that"):
            finish(writer)
        writer.add(empty)
        with pytest.raises(DataError, match=r"not one frame could be used: no face \(2 of 3 entries in skipped.csv\);"):
            finish(writer)
    assert pd.read_csv(tmp_path / "store.partial/skipped.csv")["reason"].tolist() == reasons


@pytest.mark.parametrize("damage", ["T1.json", "T1.parquet"])
def test_a_damaged_finished_sequence_is_made_again(tmp_path: Path, damage: str) -> None:
    inputs = {("F001", "T1"): {"photos": [3, "x"]}}
    with StoreWriter(tmp_path / "store", PLAN) as writer:
        writer.discard_changed(inputs)
        writer.add(one())
        part = tmp_path / "store.partial/parts/F001" / damage
        part.write_text("") if part.suffix == ".json" else part.unlink()
        assert writer.discard_changed(inputs) == ["F001 T1: damaged; it is prepared again"]
        assert not writer.has("F001", "T1")


@pytest.mark.parametrize("name", ["parts/F001/T1.parquet", "arrays/F001/T1.depth.npy"])
@pytest.mark.parametrize("damage", ["flip", "empty"])
def test_a_damaged_file_of_a_finished_sequence_is_made_again(tmp_path: Path, name: str, damage: str) -> None:
    inputs = {("F001", "T1"): {"photos": [3, "x"]}}
    with StoreWriter(tmp_path / "store", PLAN) as writer:
        writer.discard_changed(inputs)
        writer.add(one())
        assert writer.discard_changed(inputs) == []
        path = tmp_path / "store.partial" / name
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content if damage == "flip" else b"")
        assert writer.discard_changed(inputs) == ["F001 T1: damaged; it is prepared again"]


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY"])
def test_an_array_without_content_is_named(store: Store, content: bytes) -> None:
    (store.path / "arrays/F001/T1.depth.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"F001/T1\.depth\.npy: cannot be read"):
        Store(store.path).read(Modality.DEPTH, [0])
    with pytest.raises(DataError, match=r"F001/T1\.depth\.npy: cannot be read"):
        for name, (dtype, shape) in expected_arrays(store.info, store.frames).items():
            check_array(store.path / name, dtype, shape, hint="")


def test_frames_are_written_one_by_one(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "store", PLAN) as writer:
        with writer.open_arrays("F001", "T1") as allocate:
            images = allocate(Modality.DEPTH, (3, 8, 8, 1), np.uint8)
            for i in range(3):
                images[i] = np.full((8, 8, 1), 7)
            writer.add(Sequence("F001", "T1", {Modality.DEPTH: images}, one().frames))
        streamed = finish(writer)
    with StoreWriter(tmp_path / "other", PLAN) as writer:
        writer.add(one())
        assert finish(writer).info == streamed.info
    assert (streamed.path / "arrays/F001/T1.depth.npy").read_bytes() == (
        tmp_path / "other/arrays/F001/T1.depth.npy"
    ).read_bytes()


def test_half_written_arrays_leave_nothing(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "store", PLAN) as writer:
        with pytest.raises(KeyboardInterrupt), writer.open_arrays("F001", "T1") as allocate:
            allocate(Modality.DEPTH, (3, 8, 8, 1), np.uint8)[0] = np.zeros((8, 8, 1))
            raise KeyboardInterrupt
        assert not list(writer.partial.rglob("*T1*"))


def test_a_lock_is_handed_over_between_threads(tmp_path: Path) -> None:
    from aubench._util import locks

    held = []

    def work() -> None:
        for _ in range(20):
            with locks.exclusive(tmp_path / "a.lock"):
                held.append(1)
                assert sum(held) == 1
                held.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not held and not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["skipped.csv", "sequences.csv", "frames.parquet"])
@pytest.mark.parametrize("damage", ["flip", "remove", "empty"])
def test_a_check_finds_a_damaged_table(store: Store, name: str, damage: str) -> None:
    path = store.path / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink() if damage == "remove" else path.write_bytes(content if damage == "flip" else b"")
    with pytest.raises(DataError, match=rf"{name}: .*; delete the store"):
        Store(store.path).verify(full=True)


def test_a_check_finds_the_array_of_another_store(store: Store) -> None:
    (store.path / "arrays" / "F001" / ".DS_Store").touch()
    Store(store.path).verify(full=True)
    (store.path / "arrays" / "F001" / "T2.depth.npy").write_bytes(b"")
    with pytest.raises(DataError, match=r"F001/T2\.depth\.npy: is not a file of this store; remove it"):
        Store(store.path).verify(full=True)


def test_a_table_of_frames_with_damaged_text_is_one_line(store: Store) -> None:
    path = store.path / "frames.parquet"
    pd.read_parquet(path).to_parquet(path, compression=None)
    name = store.frames["subject"].iloc[0].encode()
    path.write_bytes(path.read_bytes().replace(name, b"\xff" * len(name)))
    with pytest.raises(DataError, match=r"frames\.parquet: cannot be read \(.*; delete the store and make it again"):
        Store(store.path)


def test_a_store_whose_description_is_no_json_is_one_line(store: Store) -> None:
    (store.path / "store.json").write_text("x")
    with pytest.raises(DataError, match=r"store\.json: Invalid JSON: .*; delete the store and make it again"):
        Store(store.path)


def test_a_path_that_is_no_store_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder/store.json").mkdir(parents=True)
    with pytest.raises(DataError, match="file: no store here; make one"):
        Store(tmp_path / "file")
    with pytest.raises(DataError, match=r"store\.json: cannot be read \(Is a directory\)"):
        Store(tmp_path / "folder")


def test_a_store_without_digests_of_its_tables_keeps_its_digest(store: Store) -> None:
    old = StoreInfo.with_digest(**store.info.model_dump(exclude={"digest", "tables"}))
    assert old.digest == store.info.digest
    (store.path / "store.json").write_text(old.model_dump_json(exclude_none=True))
    Store(store.path).verify(full=True)


@pytest.mark.parametrize("other", [{"schema_version": 2}, {"schema_version": 2, "new": 1}])
def test_a_store_of_a_newer_format_asks_for_a_newer_version(store: Store, other: dict[str, int]) -> None:
    path = store.path / "store.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | other))
    with pytest.raises(DataError, match=r"store\.json: has the format 2, not 1; install the newest version of aubench"):
        Store(store.path)


@pytest.mark.parametrize("content", ["[1]", "5", "null", "{", '"text"', ""])
def test_a_damaged_stamp_of_a_check_is_ignored(store: Store, content: str) -> None:
    store.verify(full=False)
    (store.path / ".verified.json").write_text(content)
    Store(store.path).verify(full=False)


def test_a_check_of_another_description_of_the_same_files_does_not_count(store: Store) -> None:
    store.verify(full=False)
    other = dict.fromkeys(store.info.arrays, "0" * 64)
    info = StoreInfo.with_digest(**store.info.model_dump(exclude={"digest", "arrays"}), arrays=other)
    (store.path / "store.json").write_text(info.model_dump_json(exclude_none=True))
    with pytest.raises(DataError, match="has changed since the store was made"):
        Store(store.path).verify(full=False)


def labelled(tmp_path: Path, value: int, **options: str) -> Store:
    with StoreWriter(tmp_path / "store", PLAN) as writer:
        sequence = one()
        sequence.frames["AU1"] = np.array([-1, 0, value])
        writer.add(sequence)
        return writer.finish(dataset="any", version="1", size=8, modalities={Modality.DEPTH: "d"}, crop="", **options)


def test_a_store_says_whether_its_labels_are_intensities(tmp_path: Path) -> None:
    store = labelled(tmp_path, 5, labels="intensity")
    assert Store(store.path).info.labels == "intensity"
    assert store.frames["AU1"].tolist() == [-1, 0, 5]
    store.verify(full=True)
    info = json.loads((store.path / "store.json").read_text()) | {"labels": "occurrence"}
    (store.path / "store.json").write_text(json.dumps(info))
    with pytest.raises(DataError, match="does not match its own digest"):
        Store(store.path)


def test_a_store_without_the_kind_of_labels_holds_occurrences_and_keeps_its_digest(tmp_path: Path) -> None:
    store = labelled(tmp_path, 1)
    info = json.loads((store.path / "store.json").read_text())
    del info["labels"]
    (store.path / "store.json").write_text(json.dumps(info))
    assert (Store(store.path).info.labels, Store(store.path).info.digest) == ("occurrence", info["digest"])


@pytest.mark.parametrize(
    ("kind", "value"), [("occurrence", 2), ("intensity", 7), ("intensity", -2), ("intensity", 257)]
)
def test_a_label_outside_its_kind_is_refused(tmp_path: Path, kind: str, value: int) -> None:
    with pytest.raises(DataError, match=f"AU1 of F001 T1 frame 2 is {value}, and labels of {kind} are 0 to"):
        labelled(tmp_path, value, labels=kind)
