"""Faults of deliveries by reader: one clear line, a listed skip, or no difference, and never half a store."""

from __future__ import annotations

import errno
import io
import os
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from factories.bp4d import Delivery, draw_face, write_codes, write_photo
from factories.disfa import AUS, TRIAL, draw_frames, write_disfa, write_image_labels
from factories.tables import Tree
from factories.videos import grey_frames, write_video

from aubench.core.errors import AubenchError
from aubench.data.store import Store
from aubench.datasets.catalog import DATASETS
from tests.factories import bp4dplus
from tests.factories.bp4dplus import PlusDelivery

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_worker")]


def write_bp4d(root: Path) -> None:
    delivery = Delivery(root)
    for subject in ("F001", "F002"):
        for n in range(3):
            write_photo(delivery.task(subject, "T1") / f"{n:04}.jpg", draw_face(104, 140, 104, seed=n))
        write_codes(delivery.codes(subject, "T1"), range(1, 4), int(subject[3]))


def write_bp4dplus(root: Path) -> None:
    for seed, subject in enumerate(("F001", "F002")):
        bp4dplus.write_subject(PlusDelivery(root), subject, 3, seed)


def write_disfaplus(root: Path) -> None:
    for subject in ("SN001", "SN027"):
        for number, image in enumerate(draw_frames(3, 10)):
            write_photo(root / "Images" / subject / TRIAL / f"{number:03}.jpg", image)
        for au in AUS:
            values = {f"{number:03}.jpg": (number + au) % 6 for number in range(3)}
            write_image_labels(root / "Labels" / subject / TRIAL / f"AU{au}.txt", values)


def write_table(root: Path) -> None:
    tree = Tree(root)
    rows = tree.people(2)
    for person in (3, 4):
        write_video(root / f"p{person}.avi", grey_frames(3, 64, 64))
        (root / f"p{person}.csv").write_text("frame,AU12\n1,0\n2,1\n3,0\n")
        rows.append({"subject": f"p{person}", "sequence": "v", "visual": f"p{person}.avi"})
    for row in rows:
        row["labels"] = f"{row['subject']}.csv" if row["sequence"] == "v" else ""
    tree.write(*rows)


def write_videos(root: Path) -> None:
    for name in ("anna/a", "ben/b"):
        write_video(root / f"{name}.avi", draw_frames(3, 10))


WRITERS: dict[str, Callable[[Path], Any]] = {
    "bp4d": write_bp4d,
    "bp4dplus": write_bp4dplus,
    "disfa": lambda root: write_disfa(root, ("SN001", "SN002"), points=False),
    "disfaplus": write_disfaplus,
    "table": write_table,
    "video": write_videos,
}
LABELS = {
    "bp4d": "AUCoding/AU_OCC/F002_T1.csv",
    "bp4dplus": "AUCoding/AU_OCC/F002_T1.csv",
    "disfa": "ActionUnit_Labels/SN002/SN002_au4.txt",
    "disfaplus": f"Labels/SN027/{TRIAL}/AU4.txt",
    "table": "p4.csv",
}
IMAGES = {
    "bp4d": "Sequences(2D+3D)/F002/T1/0001.jpg",
    "bp4dplus": "2D+3D/F002.zip",
    "disfa": "Videos_LeftCamera/leftVideoSN002_Comp.avi",
    "disfaplus": f"Images/SN027/{TRIAL}/001.jpg",
    "table": "p4.avi",
    "video": "ben/b.avi",
}
VIDEOS = {name: IMAGES[name] for name in ("disfa", "table", "video")} | {"bp4dplus": "Thermal/F002/T1.wmv"}


@dataclass(frozen=True)
class Case:
    """A delivery of a reader.

    Attributes:
        reader: Name of the data set.
        root: Folder.
        store: Path of the store.
    """

    reader: str
    root: Path
    store: Path

    @property
    def labels(self) -> Path:
        """A label file of the second subject."""
        return self.root / LABELS[self.reader]

    @property
    def image(self) -> Path:
        """An image file, archive or video of the second subject."""
        return self.root / IMAGES[self.reader]

    @property
    def video(self) -> Path:
        """The video of the second subject."""
        return self.root / VIDEOS[self.reader]

    def prepare(self) -> Store:
        dataset = DATASETS.get(self.reader)
        more = {"name": "mylab", "crop": False} if self.reader == "table" else {}
        source = self.root / "frames.csv" if self.reader == "table" else self.root
        dataset.prepare(source, self.store, dataset.Options(size=32, **more), lambda done, total: None)
        return Store(self.store)


@pytest.fixture(scope="session")
def masters(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that writes the delivery of a reader once."""
    folder = tmp_path_factory.mktemp("deliveries")

    def master(reader: str) -> Path:
        root = folder / reader
        if not root.exists():
            root.mkdir()
            WRITERS[reader](root)
        return root

    return master


@pytest.fixture
def make_case(masters, tmp_path: Path) -> Callable[[str], Case]:
    def make(reader: str) -> Case:
        shutil.copytree(masters(reader), tmp_path / "data")
        return Case(reader, tmp_path / "data", tmp_path / "store")

    return make


_WHOLE: dict[str, pd.DataFrame] = {}


@pytest.fixture
def whole(masters, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], pd.DataFrame]:
    """Return a function for the frames of the undamaged delivery of a reader."""

    def frames(reader: str) -> pd.DataFrame:
        if reader not in _WHOLE:
            case = Case(reader, masters(reader), tmp_path_factory.mktemp("whole") / "store")
            _WHOLE[reader] = case.prepare().frames
        return _WHOLE[reader]

    return frames


# Damage


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: int(0.7 * path.stat().st_size)])


def rename_codec(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"MJPG", b"ZZZZ").replace(b"WMV2", b"ZZZZ"))


def damage_entry(archive: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        at = opened.infolist()[0].header_offset
    content = bytearray(archive.read_bytes())
    content[at + 300] ^= 255
    archive.write_bytes(content)


def add_outside(archive: Path) -> None:
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr("../evil/T1/0009.jpg", b"x")


def change_lines(change: Callable[[list[str]], list[str]]) -> Callable[[Case], None]:
    """Change the lines of the label file, and of those of all AUs of a sequence with one for each."""

    def damage(case: Case) -> None:
        of_aus = case.reader in {"disfa", "disfaplus"}
        for path in case.labels.parent.iterdir() if of_aus else [case.labels]:
            path.write_text("\n".join([*change(path.read_text().splitlines()), ""]))

    return damage


def next_line(lines: list[str]) -> str:
    """Return the line of the frame after the last one."""
    cells = re.split(r"([, ]+)", lines[-1])
    number, suffix = re.fullmatch(r"(\d+)(\D*)", cells[0]).groups()
    return "".join([f"{int(number) + 1:0{len(number)}}{suffix}", *cells[1:]])


longer = change_lines(lambda lines: [*lines, next_line(lines)])
shorter = change_lines(lambda lines: lines[:-1])
repeated = change_lines(lambda lines: [*lines, lines[-1]])


def to_seven(case: Case) -> None:
    lines = case.labels.read_text().splitlines()
    header, *rest = re.split(r"([, ]+)", lines[-1])
    lines[-1] = "".join([header, rest[0], "7", *rest[2:]])
    case.labels.write_text("\n".join([*lines, ""]))


def rewrite(change: Callable[[bytes], bytes]) -> Callable[[Case], None]:
    return lambda case: case.labels.write_bytes(change(case.labels.read_bytes()))


def rename_subject(old: str, new: str) -> Callable[[Case], None]:
    """Rename all files and folders of a subject."""

    def damage(case: Case) -> None:
        for path in sorted(case.root.rglob(f"*{old}*"), key=lambda path: -len(path.parts)):
            path.rename(path.with_name(path.name.replace(old, new)))

    return damage


def link(case: Case) -> None:
    """Move an image to another folder, and put a link in its place."""
    target = case.root.parent / "elsewhere" / case.image.name
    target.parent.mkdir()
    case.image.rename(target)
    case.image.symlink_to(target)


def copy_to(source: str, target: str) -> Callable[[Case], None]:
    def damage(case: Case) -> None:
        path = case.root / target
        path.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (case.root / source).is_dir() else shutil.copy)(case.root / source, path)

    return damage


def add_row(row: str) -> Callable[[Case], None]:
    def damage(case: Case) -> None:
        with (case.root / "frames.csv").open("a") as file:
            file.write(row + "\n")

    return damage


# Outcomes

Outcome = Callable[[Case, Callable[[str], pd.DataFrame]], None]


def refused(*texts: str) -> Outcome:
    """Expect one line that contains texts, and no store."""

    def check(case: Case, whole: Callable[[str], pd.DataFrame]) -> None:
        with pytest.raises(AubenchError) as error:
            case.prepare()
        assert all(text in str(error.value) for text in texts) and "\n" not in str(error.value), error.value
        assert error.value.exit_code == 2 and not case.store.exists() and not [*case.root.parent.rglob("*.tmp")]

    return check


def listed(*texts: str, frames: bool = True) -> Outcome:
    """Expect a store whose list of skipped files and frames contains texts, and the labels of all other frames."""

    def check(case: Case, whole: Callable[[str], pd.DataFrame]) -> None:
        store = case.prepare()
        lines = (store.path / "skipped.csv").read_text()
        assert all(text in lines for text in texts), lines
        expected = whole(case.reader)
        if frames:
            assert store.frames[labels_in(expected)].equals(expected[labels_in(expected)])
        else:
            assert 0 < len(store.frames) < len(expected)

    return check


def labels_in(frames: pd.DataFrame) -> list[str]:
    return ["subject", "sequence", "frame", *(name for name in frames if str(name).startswith("AU"))]


same = listed()


def unlabelled(case: Case, whole: Callable[[str], pd.DataFrame]) -> None:
    """Expect all frames, the last of the second subject without labels."""
    frames, expected = case.prepare().frames, whole(case.reader)
    last = expected.index[expected["subject"] == expected["subject"].iloc[-1]][-1]
    assert frames["frame"].equals(expected["frame"]) and not frames.loc[last, "labelled"]
    assert (frames.loc[last, labels_in(frames)[3:]] == -1).all()
    assert frames.drop(last)[labels_in(frames)].equals(expected.drop(last)[labels_in(frames)])


def left_out(case: Case, whole: Callable[[str], pd.DataFrame]) -> None:
    """Expect all frames but the last one."""
    frames, expected = case.prepare().frames, whole(case.reader)
    assert frames[labels_in(frames)].equals(expected[labels_in(frames)].iloc[:-1])


# Faults by reader; a text is the reason why there is no such fault.

NO_VIDEO, NO_ZIP, NO_LABELS = "photos instead of videos", "no archives are read", "videos without labels"
Cell = str | tuple[Callable[[Case], None], Outcome]


def all_of(readers: str, damage: Callable[[Case], None], outcome: Outcome) -> dict[str, Cell]:
    return dict.fromkeys(readers.split(), (damage, outcome))


FAULTS: dict[str, dict[str, Cell]] = {
    "truncated video": {
        **all_of("bp4dplus disfa table", lambda case: cut(case.video), refused("is cut short")),
        "video": (lambda case: cut(case.video), listed("is cut short", frames=False)),
        "bp4d": NO_VIDEO,
        "disfaplus": NO_VIDEO,
    },
    "codec without a decoder": {
        **all_of("disfa table", lambda case: rename_codec(case.video), refused("no decoder for its codec (ZZZZ)")),
        "bp4dplus": (lambda case: rename_codec(case.video), refused("F002/T1.wmv: ", "decoder")),
        "video": (lambda case: rename_codec(case.video), listed("no decoder for its codec (ZZZZ)", frames=False)),
        "bp4d": NO_VIDEO,
        "disfaplus": NO_VIDEO,
    },
    "bad entry of an archive": {
        "bp4dplus": (lambda case: damage_entry(case.image), refused("F002.zip/F002/T1/0000.jpg: cannot be unpacked")),
        "bp4d": (lambda case: (case.root / "F003.zip").write_bytes(b"PK"), listed("F003.zip: not unpacked")),
        **dict.fromkeys(["disfa", "disfaplus", "table", "video"], NO_ZIP),
    },
    "entry outside of an archive": {
        "bp4dplus": (lambda case: add_outside(case.image), listed("1 files like ../evil/T1/0009.jpg are outside")),
        **dict.fromkeys(["bp4d", "disfa", "disfaplus", "table", "video"], NO_ZIP),
    },
    "more labels than frames": {
        **all_of("bp4d bp4dplus", longer, listed('F002,T1,4,"coded, but without a photo"')),
        "disfa": (longer, listed('SN002,left,9,"coded, but not in the video"')),
        "disfaplus": (longer, listed(f'SN027,{TRIAL},3,"coded, but without an image"')),
        "table": (longer, listed("p4,v,4,visual: not in the video p4.avi")),
        "video": NO_LABELS,
    },
    "fewer labels than frames": {
        **all_of("bp4d bp4dplus disfa disfaplus", shorter, unlabelled),
        "table": (shorter, left_out),
        "video": NO_LABELS,
    },
    "frame twice": {
        **all_of("bp4d bp4dplus disfa disfaplus", repeated, refused(" is coded a second time")),
        "table": (repeated, refused("frame 3 of p4 v occurs in line 4 of p4.csv too")),
        "video": NO_LABELS,
    },
    "UTF-16": {
        **all_of(
            "bp4d bp4dplus disfa disfaplus table", rewrite(lambda content: content.decode().encode("utf-16")), same
        ),
        "video": NO_LABELS,
    },
    "CR LF": {
        **all_of("bp4d bp4dplus disfa disfaplus table", rewrite(lambda content: content.replace(b"\n", b"\r\n")), same),
        "video": NO_LABELS,
    },
    "label of 7": {
        **all_of("bp4d bp4dplus", to_seven, refused("F002_T1.csv:4:2: 7 is not a code (0, 1 or 9)")),
        **all_of("disfa disfaplus", to_seven, refused("7 is not an intensity (0 to 5)")),
        "table": (to_seven, refused("p4.csv line 4: AU12 is '7'; labels are 0, 1, or -1, 9, 999 or empty")),
        "video": NO_LABELS,
    },
    "unknown subject": {
        "bp4d": (rename_subject("F002", "X002"), listed("X002/T1: its name is not like F001/T1", frames=False)),
        "bp4dplus": (rename_subject("F002", "F083"), listed("F083/T1: not a subject of BP4D+", frames=False)),
        "disfa": (rename_subject("SN002", "SN014"), refused("SN014 is not a subject of DISFA")),
        "disfaplus": (rename_subject("SN027", "SN002"), refused("SN002 is not a subject of DISFA+")),
        "table": "any name is a person",
        "video": "any name is a person",
    },
    "link out of the tree": {
        **all_of("bp4d bp4dplus disfa disfaplus video", link, same),  # owners' files are often in several places
        "table": (link, refused("p4.avi is outside of", "--follow-links")),
    },
    "file twice": {
        **all_of(
            "bp4d bp4dplus",
            copy_to("AUCoding/AU_OCC/F002_T1.csv", "AUCoding/AU_OCC/again/F002_T1.csv"),
            refused("the same sequence is coded in"),
        ),
        "disfa": (copy_to(LABELS["disfa"], LABELS["disfa"].replace("au4", "au04")), refused("holds the same as")),
        "disfaplus": (
            copy_to(LABELS["disfaplus"], f"Labels/SN027/{TRIAL}/AU04.txt"),
            refused("has the same number as"),
        ),
        "table": (add_row("p2,s,9,p2/1.png,1,"), refused("names p2/1.png as line 4 does")),
        "video": (copy_to("ben/b.avi", "ben/b.mp4"), refused("has the name ben b in the store")),
    },
    "two people of one name": {
        "bp4d": (copy_to("Sequences(2D+3D)/F002", "other/f002"), refused("F002 T1 is also in")),
        "bp4dplus": (copy_to("2D+3D/F002.zip", "other/f002.zip"), refused("F002 T1 is also in")),
        "disfa": (copy_to(IMAGES["disfa"], "other/LeftVideoSN002_comp.avi"), refused("holds the same as")),
        "disfaplus": (copy_to("Images/SN027", "other/sn027"), refused("has the same number as")),
        "table": (add_row("P2,s,9,p1/1.png,1,"), refused("subject P2 is also spelt p2")),
        "video": (copy_to("ben/b.avi", "ben/b .avi"), refused("has the name ben b in the store")),
    },
}
CASES = [(f, r) for f, cells in FAULTS.items() for r, cell in cells.items() if not isinstance(cell, str)]


def test_every_fault_has_an_outcome_for_every_reader() -> None:
    readers = {*DATASETS.names()} - {"synth"}
    assert readers == {*WRITERS}
    assert {fault: {*cells} for fault, cells in FAULTS.items()} == dict.fromkeys(FAULTS, readers)


@pytest.mark.parametrize(("fault", "reader"), CASES)
def test_a_fault_is_one_line_or_listed(make_case, whole, fault: str, reader: str) -> None:
    case = make_case(reader)
    damage, check = FAULTS[fault][reader]
    damage(case)
    check(case, whole)


DENIED: dict[str, dict[str, Outcome]] = {
    "labels": dict.fromkeys(LABELS, refused("cannot be read (Permission denied)")),
    "image": {
        **dict.fromkeys(["bp4d", "disfa", "disfaplus", "table"], refused("cannot be read (Permission denied)")),
        "bp4dplus": refused("F002.zip", "Permission denied"),
        "video": listed("cannot be read (Permission denied)", frames=False),
    },
}


@pytest.mark.parametrize(("kind", "reader"), [(kind, reader) for kind, readers in DENIED.items() for reader in readers])
def test_a_file_without_permission_is_one_line_or_listed(make_case, whole, monkeypatch, kind: str, reader: str) -> None:
    case, opened = make_case(reader), io.open
    whole(reader)
    denied = getattr(case, kind)

    def refuse(file: Any, *more: Any, **named: Any) -> Any:
        if not isinstance(file, int) and Path(file) == denied:
            raise PermissionError(errno.EACCES, "Permission denied", str(file))
        return opened(file, *more, **named)

    monkeypatch.setattr("io.open", refuse)
    DENIED[kind][reader](case, whole)


@pytest.mark.parametrize("reader", sorted(WRITERS.keys() - {"table"}))
def test_a_folder_without_permission_is_one_line(make_case, whole, monkeypatch, reader: str) -> None:
    case, scandir = make_case(reader), os.scandir

    def scan(path: Path) -> Iterator[os.DirEntry[str]]:
        if Path(path) == case.image.parent:
            raise PermissionError(errno.EACCES, "Permission denied")
        return scandir(path)

    with monkeypatch.context() as patch:
        patch.setattr("aubench.datasets.file_search.os.scandir", scan)
        refused("cannot be read (Permission denied); change its permissions")(case, whole)


@pytest.mark.parametrize("reader", WRITERS)
def test_a_disk_that_fills_at_any_write_is_one_line_and_the_command_resumes(
    make_case, whole, monkeypatch, reader: str
) -> None:
    """The first attempt writes nothing, and each further one twice as much as the one before."""
    case, sync, left, failures = make_case(reader), os.fsync, 0, 0

    def fill(handle: int) -> None:
        nonlocal left
        if left == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        left -= 1
        sync(handle)

    expected = whole(reader)
    monkeypatch.setattr("aubench._util.atomic.os.fsync", fill)
    for written in (0, 1, 2, 4, 8, 16, 32):
        left = written
        try:
            store = case.prepare()
            break
        except AubenchError as error:
            failures += 1
            assert "the disk is full; free some space and repeat the command" in str(error)
            assert error.exit_code == 2 and not case.store.exists() and not [*case.root.parent.rglob("*.tmp")]
    assert failures >= 3 and store.frames.equals(expected)
    store.verify(full=True)
