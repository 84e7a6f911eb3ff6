"""Examples of docs/own-data.md on small trees in their layouts."""

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from factories.bp4d import draw_face
from factories.videos import write_video

from aubench.core import protocol_file
from aubench.core.task import Modality
from aubench.data.store import Store
from aubench.datasets.table.table_dataset import TABLE, TableOptions

pytestmark = pytest.mark.usefixtures("one_worker")

EXAMPLES = Path(__file__).parents[2] / "docs/examples"


def module(name: str):
    spec = importlib.util.spec_from_file_location(Path(name).stem, EXAMPLES / f"{name}.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def prepare(name: str, folder: Path, **options) -> Store:
    """Write the manifest of an example, and read it."""
    pd.DataFrame(module(f"manifests/{name}").rows(folder)).to_csv(folder / "frames.csv", index=False)
    options = TableOptions(**{"name": name, "size": 32, **options})
    TABLE.prepare(folder / "frames.csv", folder.parent / "store", options, lambda done, total: None)
    return Store(folder.parent / "store")


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[..., ::-1] if image.ndim == 3 else image)


def faces(count: int) -> list[np.ndarray]:
    return [draw_face(104, 140, 104) // 2 + 6 * number for number in range(count)]


@pytest.mark.slow
def test_videos_with_label_files_of_openface(tree) -> None:
    header = "frame, face_id, timestamp, confidence, success, AU01_r, AU12_r, AU01_c, AU12_c"
    for subject in ("anna", "ben", "carl"):
        write_video(tree.root / f"videos/{subject}_day1.avi", faces(4))
        lines = [f"{i + 1}, 0, 0.0, 0.98, {int(i != 2)}, 1.30, 2.40, {i % 2}.00, 1.00" for i in range(4)]
        (tree.root / "openface").mkdir(exist_ok=True)
        (tree.root / f"openface/{subject}_day1.csv").write_text("\r\n".join([header, *lines]))
    (tree.root / "videos/.DS_Store").touch()
    store = prepare("openface", tree.root)
    assert store.frames["AU1"].tolist()[:4] == [0, 1, -1, 1] and store.frames["AU12"].tolist()[:4] == [1, 1, -1, 1]
    assert set(store.frames["sequence"]) == {"day1"} and set(store.frames["crop_source"]) == {"detector"}
    assert np.allclose(np.diff(store.read(Modality.VISUAL, range(4)).mean((1, 2, 3))), 6, atol=2)
    assert protocol_file.load(tree.root.parent / "openface_3fold.toml").subjects == {"anna", "ben", "carl"}


@pytest.mark.slow
def test_a_fixed_split_as_in_gft(tree) -> None:
    split = {"train": ["001A", "001B", "002A"], "test": ["003A"]}
    for role, subjects in split.items():
        (tree.root / f"{role}.txt").write_text("\n".join(subjects))
        for subject in subjects:
            video = write_video(tree.root / f"videos/{subject}.avi", faces(3))
            video.rename(video.with_suffix(".mp4"))
            (tree.root / "labels").mkdir(exist_ok=True)
            (tree.root / f"labels/{subject}.csv").write_text("frame,1,2,12\n0,0,-1,1\n1,1,-1,1\n2,0,9,0\n")
    store = prepare("fixed_split", tree.root)
    assert store.frames[["AU1", "AU2", "AU12"]].to_numpy().tolist()[:3] == [[0, -1, 1], [1, -1, 1], [0, -1, 0]]
    proven = protocol_file.load(tree.root.parent / "fixed_split_split.toml")
    assert proven.roles(1) == (frozenset(split["train"]), frozenset(), frozenset(split["test"]))
    assert proven.aus == (1, 12)


@pytest.mark.slow
def test_bosphorus_states_aus_in_file_names(tree) -> None:
    names = ["LFAU_12LW_0", "CAU_A12A15_0", "N_N_0", "E_HAPPY_0", "UFAU_43_0"]
    for subject in ("bs000", "bs001", "bs002"):
        for name in names:
            save(tree.root / f"{subject}/{subject}_{name}.png", faces(1)[0])
        depth = np.full(draw_face(104, 140, 104).shape[:2], 1000, np.uint16)
        save(tree.root / f"{subject}/{subject}_{names[0]}_depth.png", depth)
    store = prepare("bosphorus", tree.root, depth_range="500,1500")
    rows = store.frames[["source", "AU12", "AU15", "AU43", "missing"]].to_numpy().tolist()[:4]
    assert rows == [
        ["bs000/bs000_CAU_A12A15_0.png", 1, 1, 0, "D"],
        ["bs000/bs000_LFAU_12LW_0.png", 1, 0, 0, ""],
        ["bs000/bs000_N_N_0.png", 0, 0, 0, "D"],
        ["bs000/bs000_UFAU_43_0.png", 0, 0, 1, "D"],
    ]
    assert (store.read(Modality.DEPTH, [1]) == 128).mean() > 0.9


@pytest.mark.slow
def test_clips_of_casme3_have_depth_and_one_code(tree, capsys) -> None:
    (tree.root / "labels.csv").write_text(
        "Subject,Filename,Onset,Apex,Offset,AU,emotion\n"
        "spNO.1,a,5,6,7,4+L10,disgust\nspNO.1,a,20,20,21,R14A or 17A,others\nspNO.2,b,1,1,2,12,happy\n"
        "spNO.2,c,4,4,4,,others\nspNO.3,d,8,8,9,12,happy\nspNO.3,e,,,9,12,happy\n"
    )
    for clip, numbers in (
        ("spNo.1/a_5", (5, 6, 7)),
        ("spNo.1/a_20", (20, 21)),
        ("spNo.2/b_1", (1, 2)),
        ("spNo.2/c_4", (4,)),
    ):
        for number in numbers:
            save(tree.root / f"frame/{clip}/{number}.jpg", faces(1)[0])
            if number != 6:
                depth = tree.root / f"depth/{clip.replace('spNo', 'SPNO')}/{number}.png"
                save(depth, np.full((224, 208), 900, np.uint16))
    height, width = draw_face(104, 140, 104).shape[:2]
    for path in (tree.root / "depth").rglob("*.png"):
        save(path, np.full((height, width), 900, np.uint16))
    module("manifests/casme3").rows(tree.root)
    assert capsys.readouterr().err.splitlines() == [
        "no image of spNO.3 d_8: expected frame/spNO.3/d_8",
        "onset or offset of spNO.3 e is no number: skipped",
    ]
    store = prepare("casme3", tree.root, depth_range="500,1500")
    table = store.frames[["subject", "sequence", "frame", "AU4", "AU10", "AU12", "AU14", "AU17", "missing"]]
    assert table.to_numpy().tolist() == [
        ["spNo.1", "a_5", 5, 1, 1, 0, 0, 0, ""],
        ["spNo.1", "a_5", 6, 1, 1, 0, 0, 0, "D"],
        ["spNo.1", "a_5", 7, 1, 1, 0, 0, 0, ""],
        ["spNo.1", "a_20", 20, 0, 0, 0, -1, -1, ""],
        ["spNo.1", "a_20", 21, 0, 0, 0, -1, -1, ""],
        ["spNo.2", "b_1", 1, 0, 0, 1, 0, 0, ""],
        ["spNo.2", "b_1", 2, 0, 0, 1, 0, 0, ""],
        ["spNo.2", "c_4", 4, -1, -1, -1, -1, -1, ""],
    ]


def test_a_store_is_a_data_set_of_pytorch(small_store) -> None:
    dataset = module("store_dataset").StoreDataset(str(small_store), ("visual", "depth"))
    store = Store(small_store)
    labelled = store.frames.index[store.frames["labelled"]]
    assert len(dataset) == len(labelled)
    loader = torch.utils.data.DataLoader(dataset, batch_size=4)
    images, labels = next(iter(loader))
    assert images["visual"].shape == (4, 3, 32, 32) and images["depth"].shape == (4, 1, 32, 32)
    assert np.array_equal(images["visual"].permute(0, 2, 3, 1), store.read(Modality.VISUAL, labelled[:4]))
    assert labels.tolist() == store.frames.loc[labelled[:4], [f"AU{au}" for au in store.aus]].to_numpy().tolist()
    text = (EXAMPLES / "store_dataset.py").read_text()
    body = [line for line in text.partition("class ")[2].splitlines() if line.strip()]
    assert len(body) <= 13
