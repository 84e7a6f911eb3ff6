"""Manifests: which cell is which frame, image and label, and one line for each fault."""

import csv
import json
import tracemalloc

import numpy as np
import pandas as pd
import pytest

from aubench.core.errors import DataError
from aubench.core.task import Modality
from aubench.datasets.table.manifest import Manifest, read_manifest
from aubench.datasets.table.table_columns import TableColumns, parse_label
from aubench.datasets.table.table_files import TableFile
from aubench.datasets.table.table_paths import TablePaths


def read(path, intensity=None, first_frame=None, follow_links=False) -> Manifest:
    return read_manifest(path, TablePaths(path.parent.resolve(), follow_links), intensity, first_frame)


def labels(manifest: Manifest) -> list[tuple[int, ...]]:
    return [frame.labels for frames in manifest.sequences.values() for frame in frames]


@pytest.mark.parametrize(
    "name", ["AU1", "AU01", "AU01_c", " AU01_c", "au_1", "au1", "1", "01", "AU 1", "AU1_occurrence"]
)
def test_an_au_has_many_spellings(tree, name) -> None:
    rows = [
        {"subject": "a", "visual": tree.image("1.png"), name: " 1"},
        {"subject": "b", "visual": "2.png", name: "0.00"},
    ]
    tree.image("2.png")
    manifest = read(tree.write(*rows))
    assert manifest.aus == (1,) and labels(manifest) == [(1,), (0,)]
    assert manifest.label_columns == [name.strip()] and not manifest.unused


def without_lines(manifest: Manifest) -> dict[tuple[str, str], list]:
    return {key: [frame._replace(line=0) for frame in frames] for key, frames in manifest.sequences.items()}


@pytest.mark.parametrize(("text", "label"), [("True", 1), ("FALSE", 0), ("1.", 1), (".0", 0)])
def test_labels_have_many_spellings(text, label) -> None:
    assert parse_label(text, None, False) == label


@pytest.mark.parametrize("text", ["", "-1", "-1.0", "9", "9.0", "999", "NaN", "NA", "null", "?"])
def test_unknown_has_many_spellings(text) -> None:
    for intensity in (None, "2", "keep"):
        assert parse_label(text, intensity, False) == -1


@pytest.mark.parametrize(
    ("text", "intensity", "label"),
    [
        ("1", "2", 0),
        ("2", "2", 1),
        ("1.99", "2", 0),
        ("4", "5", 0),
        ("5.0", "5", 1),
        ("3", "keep", 3),
        ("0", "keep", 0),
    ],
)
def test_intensities_are_cut_or_kept(text, intensity, label) -> None:
    assert parse_label(text, intensity, False) == label


@pytest.mark.parametrize(
    ("text", "intensity"),
    [
        *(("2", None), ("0.7", None), ("-1.5", None), ("0x1", None), ("+-1", None), ("１", None)),
        *(("7", "2"), ("5.1", "2"), ("x", "2"), ("1_0", "2"), ("inf", "2"), ("1e999", "2"), ("-0.5", "2")),
        *(("7", "keep"), ("1.5", "keep")),
    ],
)
def test_other_values_are_no_labels(text, intensity) -> None:
    with pytest.raises(ValueError):
        parse_label(text, intensity, False)


def columns(names: str, intensity=None) -> TableColumns:
    return TableColumns.of(TableFile(None, names.split(","), []), intensity)


def test_openface_has_occurrence_and_intensity() -> None:
    header = "frame, face_id, success, X_0, x_0, AU01_r, AU12_r, AU01_c, AU12_c, AU28_c"
    assert columns(header).labels == {1: (7, True), 12: (8, True), 28: (9, True)}
    assert columns(header, "2").labels == {1: (5, False), 12: (6, False), 28: (9, True)}
    assert columns(header, "keep").labels == {1: (5, False), 12: (6, False)}
    assert columns(header).roles == {"frame": 0, "success": 2}


def test_libreface_has_occurrence_and_intensity() -> None:
    header = "frame_idx,au_1,au_12,au_1_intensity,au_25_intensity"
    assert columns(header).labels == {1: (1, True), 12: (2, True)}
    assert columns(header, "3").labels == {1: (3, False), 12: (2, True), 25: (4, False)}
    assert columns(header, "keep").labels == {1: (3, False), 25: (4, False)}
    assert columns("frame_idx,au_1,au_12", "3").labels == {1: (1, False), 12: (2, False)}


@pytest.mark.parametrize("names", ["AU1,AU01", "AU1,1", "visual,image_path", "subject,participant", "AU1,AU1_c"])
def test_two_columns_of_one_meaning_are_refused(names) -> None:
    with pytest.raises(DataError, match=r"mean the same|both code AU1"):
        columns(names)


@pytest.mark.parametrize("intensity", [None, "2", "keep"])
def test_the_right_side_of_a_face_is_no_intensity(intensity) -> None:
    assert columns("AU1_L,AU1,AU1_R", intensity).labels == {1: (1, False)}
    assert columns("AU1_L,AU1_R,AU1", intensity).unused == ["AU1_L", "AU1_R"]
    assert columns("AU1_L,subject", intensity).labels == {}
    with pytest.raises(DataError, match="columns au_4_l and AU4_R code AU4 of the sides of a face; write"):
        columns("AU1,AU4_R,au_4_l", intensity)


def test_68_points_become_49() -> None:
    names = [f"{axis}_{i}" for axis in "xy" for i in range(68)]
    found = columns(",".join(names))
    assert len(found.points) == 98
    assert [names[i] for i in (found.points[0], found.points[48], found.points[49])] == ["x_17", "x_67", "y_17"]
    assert "x_60" not in {names[i] for i in found.points} and "x_61" in {names[i] for i in found.points}


def test_csv_json_lines_and_parquet_give_the_same_frames(tree) -> None:
    rows = tree.people(AU4=-1)
    rows[1]["AU4"] = 1
    tables = [tree.write(*rows), tree.root / "f.jsonl", tree.root / "f.parquet", tree.root / "semicolons.csv"]
    tables[1].write_text("".join(json.dumps(row) + "\n" for row in rows))
    pd.DataFrame(rows).astype({"AU4": float}).to_parquet(tables[2])
    tables[3].write_text(tables[0].read_text().replace(",", ";"))
    manifests = [read(path) for path in tables]
    for manifest in manifests:
        assert without_lines(manifest) == without_lines(manifests[0])
        assert manifest.aus == (4, 12) and labels(manifest)[:2] == [(-1, 0), (1, 1)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_line_ends_and_encodings_do_not_matter(tree, encoding) -> None:
    rows = tree.people()
    rows[0]["visual"] = tree.image("größe.png")
    expected = read(tree.write(*rows)).sequences
    assert read(tree.write(*rows, end="\r\n")).sequences == expected
    if encoding != "utf-16":  # only ASCII
        assert read(tree.write(*rows, encoding=encoding, end="\r\n")).sequences == expected
    else:
        rows[0]["visual"] = "p1/1.png"
        assert len(read(tree.write(*rows, encoding=encoding)).sequences) == 3


def test_an_empty_cell_is_a_missing_modality(tree) -> None:
    rows = tree.people(depth="")
    rows[0]["depth"] = tree.image("d.png", channels=1)
    manifest = read(tree.write(*rows))
    assert manifest.modalities == (Modality.VISUAL, Modality.DEPTH)
    frames = manifest.sequences["p1", "s"]
    assert list(frames[0].pictures) == [Modality.VISUAL, Modality.DEPTH] and list(frames[1].pictures) == [
        Modality.VISUAL
    ]


def test_boxes_have_two_forms(tree) -> None:
    rows = tree.people(left=1, top=2, right=11, bottom=22)
    assert read(tree.write(*rows)).sequences["p1", "s"][0].box == (1, 2, 11, 22)
    rows = [{**row, "bbox_x": 1, "bbox_y": 2, "bbox_w": 10, "bbox_h": 20} for row in tree.people()]
    rows[1].update(bbox_x="", bbox_y="", bbox_w="", bbox_h="")
    frames = read(tree.write(*rows)).sequences["p1", "s"]
    assert frames[0].box == (1, 2, 11, 22) and frames[1].box is None


@pytest.mark.parametrize("names", [["left", "top", "right", "bottom"], ["x", "y", "width", "height"]])
@pytest.mark.parametrize("value", [0, -1])
def test_a_box_of_a_lost_face_is_unknown(tree, names, value) -> None:
    (row,) = tree.people(1, 1)
    ((frame,),) = read(tree.write(row | dict.fromkeys(names, value))).sequences.values()
    assert frame.box is None


def mutate(rows, index=1, **values):
    rows[index].update(values)
    return rows


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"AU12": 7}, "frames.csv line 3: AU12 is '7'; labels are 0, 1"),
        ({"AU12": "A"}, "AU12 is 'A'"),
        ({"frame": 1}, "line 3: frame 1 of p1 s occurs in line 2 too; two people need two subject names"),
        ({"frame": "x"}, "frame is 'x'"),
        ({"frame": "1.5"}, "frame is '1.5'"),
        ({"frame": -1}, "frame is '-1'"),
        ({"visual": "p1/1.png"}, "line 3: names p1/1.png as line 2 does"),
        ({"visual": "p1/../p1/1.png"}, "names p1/../p1/1.png as line 2 does"),
        ({"visual": "nowhere.png"}, "nowhere.png is missing"),
        ({"visual": ""}, "names no image"),
        ({"visual": "frames.csv"}, "neither an image nor a video"),
        ({"visual": "../outside.png"}, "outside.png is outside of .*; name the folder of all images with --root"),
        ({"visual": "link.png"}, "link.png is outside of"),
        ({"visual": "a" * 300 + ".png"}, "is no path"),
        ({"left": ""}, "line 3: left is '', not a number"),
        ({"right": 2e6}, "box or landmarks are not in pixels"),
        ({"subject": ""}, "subject is empty"),
        ({"subject": "../p"}, "'../p' cannot name a subject"),
        ({"subject": "P1"}, "subject P1 is also spelt p1"),
        ({"subject": "p01"}, "subject p01 is also spelt p1"),
        ({"subject": "p1_"}, "subject p1_ is also spelt p1"),
        ({"sequence": "a/b"}, "'a/b' cannot name a sequence"),
        ({"part": "test"}, "subject p1 is in part 'test', and in 'train' at .* line 2"),
    ],
)
def test_one_line_names_each_fault(tree, values, says) -> None:
    tree.image("../outside.png")
    (tree.root / "link.png").symlink_to("../outside.png")
    path = tree.write(*mutate(tree.people(part="train", left=1, top=1, right=9, bottom=9), **values))
    with pytest.raises(DataError, match=says) as error:
        read(path)
    assert "\n" not in str(error.value) and error.value.hint


def test_the_parent_of_a_link_is_that_of_its_target(tree) -> None:
    (tree.root / "other/folder").mkdir(parents=True)
    (tree.root / "link").symlink_to("other/folder")
    tree.image("1.png"), tree.image("other/1.png")
    path = tree.write(*mutate(tree.people(), index=0, visual="link/../1.png"))
    frame = read(path).sequences["p1", "s"][0]
    assert frame.pictures[Modality.VISUAL].path == tree.root / "other/1.png"


def test_files_elsewhere_are_read_if_the_user_says_so(tree) -> None:
    tree.image("../outside.png")
    path = tree.write(*mutate(tree.people(), visual="../outside.png"))
    assert len(read(path, follow_links=True).sequences) == 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no rows"),
        ("subject,visual\n", "has no rows"),
        ("visual,AU1\na.png,1\n", "has no column subject"),
        ("subject,AU1\na,1\n", "has no column of images"),
        ("subject,visual\na,1.png,2\n", "line 2: has 3 cells, and the header has 2"),
        ('subject,visual\na,"1.png\n', "line 2: is not CSV"),
        ('subject,visual\n"a\nb",1.png\n', "line 3: 'a\\sb' cannot name a subject"),
        ("subject,visual\na,b\0.png\n", "is not text"),
    ],
)
def test_broken_tables_are_refused(tree, text, says) -> None:
    tree.manifest.write_text(text)
    with pytest.raises(DataError, match=says):
        read(tree.manifest)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("f.jsonl", '{"subject": "a"', "line 1: is not JSON"),
        ("f.jsonl", "[1]", "line 1: is not a JSON object"),
        ("f.jsonl", '{"subject": ["a"], "visual": "a.png"}', "line 1: '<list>' cannot name a subject"),
        ("f.jsonl", '{"subject": "a", "subject": "b"}', "a key occurs twice"),
        ("f.jsonl", '{"subject": "a", "visual": "a.png", "frame": Infinity}', "line 1: frame is 'inf'"),
        ("f.parquet", "PAR1", "is not Parquet"),
        ("f.xlsx", "", "unknown extension '.xlsx'"),
    ],
)
def test_broken_tables_of_other_formats_are_refused(tree, name, text, says) -> None:
    (tree.root / name).write_text(text)
    with pytest.raises(DataError, match=says):
        read(tree.root / name)


def test_names_with_underscores_are_those_of_different_sequences(tree) -> None:
    rows = tree.people(2, 1)
    rows[0].update(subject="a_b", sequence="c")
    rows[1].update(subject="a", sequence="b_c")
    assert list(read(tree.write(*rows)).sequences) == [("a_b", "c"), ("a", "b_c")]


def test_sequences_whose_names_differ_in_case_only_are_refused(tree) -> None:
    rows = tree.people(1, 2)
    rows[1].update(sequence="S")
    with pytest.raises(DataError, match=r"frames.csv: sequence S of p1 is also spelt s; write"):
        read(tree.write(*rows))


def test_numbers_are_kept_exactly(tree) -> None:
    names = [f"{axis}_{i}" for axis in "xy" for i in range(49)]
    rows = [{**row, **dict(zip(names, np.arange(98) / 7, strict=True))} for row in tree.people()]
    points = read(tree.write(*rows)).sequences["p1", "s"][0].points
    assert np.array_equal(points, (np.arange(98) / 7).reshape(2, 49).T)


def test_people_11_and_101_are_two(tree) -> None:
    rows = [{**row, "subject": name} for name, row in zip(("11", "101", "201", "2"), tree.people(4, 1), strict=True)]
    assert sorted(read(tree.write(*rows)).subjects) == ["101", "11", "2", "201"]


def test_cells_at_the_end_of_a_table_may_be_empty(tree) -> None:
    image = tree.image("a.png")
    (tree.root / "frames.tsv").write_text(f"subject\tvisual\tAU1\tAU2\na\t{image}\t1\t\n")
    manifest = read(tree.root / "frames.tsv")
    ((frame,),) = manifest.sequences.values()
    assert frame.labels == (1, -1)


def test_a_table_may_begin_with_blank_lines(tree) -> None:
    image = tree.image("a.png")
    tree.manifest.write_text(f"\n \nsubject;visual;AU1\na;{image};7\n")
    with pytest.raises(DataError, match="line 4: AU1 is '7'"):
        read(tree.manifest)


def test_tables_in_utf_16_may_name_any_path(tree) -> None:
    rows = [{**tree.people(1, 1)[0], "visual": tree.image("Jürgen/1.png")}]
    path = tree.write(*rows, encoding="utf-16")
    assert read(path).subjects == ["p1"]


@pytest.mark.parametrize("name", ["depth-1", "a" * 31 + "-1"])
def test_a_modality_with_an_impossible_name_is_one_line(tree, name) -> None:
    with pytest.raises(DataError, match=r"frames.csv: column .* rename it"):
        read(tree.write({**tree.people(1, 1)[0], name: ""}))


def of_videos(tree, **labels: str):
    """Write a manifest of videos, whose files are empty, with the text of a label file for each person."""
    rows = []
    for person, text in labels.items():
        (tree.root / f"{person}.avi").touch()
        (tree.root / f"{person}.csv").write_text(text)
        rows.append({"subject": person, "sequence": "s", "video": f"{person}.avi", "labels": f"{person}.csv"})
    return tree.write(*rows)


def test_videos_of_one_name_need_a_column_of_sequences(tree) -> None:
    rows = [{"subject": "p", "video": f"{day}/v.avi", "frame": frame} for frame, day in enumerate(["day1", "day2"])]
    for row in rows:
        (tree.root / row["video"]).parent.mkdir()
        (tree.root / row["video"]).touch()
    with pytest.raises(DataError, match=r"line 3: .*day2/v.avi of p has the same name as .*; add a column sequence"):
        read(tree.write(*rows))


def test_a_video_with_a_path_of_windows_names_its_sequence(tree) -> None:
    (tree.root / "day1").mkdir()
    (tree.root / "day1/v.avi").touch()
    manifest = read(tree.write({"subject": "p", "video": r"day1\v.avi", "frame": 1}))
    assert list(manifest.sequences) == [("p", "v")]


def test_a_label_file_names_neither_people_nor_parts(tree) -> None:
    """Trackers number the faces of a video, and others must not become people."""
    text = "frame,person_id,clip,split,AU1\n1,0,x,train,1\n2,1,y,test,0\n"
    manifest = read(of_videos(tree, anna=text, ben=text))
    assert list(manifest.sequences) == [("anna", "s"), ("ben", "s")] and not manifest.parts
    assert manifest.unused == ["person_id", "clip", "split"]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"video": "a.avi", "subject": "c"}, r"b.csv line 2: names a.avi as line 2 of a.csv does"),
        ({"subject": "a"}, r"b.csv line 2: frame 1 of a s occurs in line 2 of a.csv too"),
    ],
)
def test_a_line_of_another_label_file_is_named_with_its_file(tree, changed, says) -> None:
    of_videos(tree, a="frame,AU1\n1,0\n", b="frame,AU1\n1,0\n")
    rows = [{"subject": p, "sequence": "s", "video": f"{p}.avi", "labels": f"{p}.csv"} for p in "ab"]
    with pytest.raises(DataError, match=says):
        read(tree.write(*mutate(rows, **changed)))


def test_cells_of_the_manifest_hold_for_a_label_file_without_their_columns(tree) -> None:
    path = of_videos(tree, anna="frame,AU1\n1,1\n2,\n", ben="frame,AU12\n1,0\n")
    rows = list(csv.DictReader(path.open()))
    names = [f"{axis}_{i}" for axis in "xy" for i in range(49)]
    more = {
        "AU1": 0,
        "AU4": 1,
        "left": 1,
        "top": 2,
        "right": 9,
        "bottom": 8,
        **{name: i for i, name in enumerate(names)},
    }
    manifest = read(tree.write(*({**row, **more} for row in rows)))
    assert manifest.aus == (1, 4, 12) and not manifest.unused
    assert labels(manifest) == [(1, 1, -1), (-1, 1, -1), (0, 1, 0)]
    for frame in manifest.sequences["anna", "s"]:
        assert frame.box == (1, 2, 9, 8) and np.array_equal(frame.points, np.arange(98.0).reshape(2, 49).T)
    path = tree.write(*({**row, **more, "AU4": 7} for row in rows))
    with pytest.raises(DataError, match=r"frames\.csv line 2: AU4 is '7'"):
        read(path)


def test_success_of_the_manifest_holds_for_a_label_file_without_it(tree) -> None:
    path = of_videos(tree, anna="frame,AU1\n1,1\n", ben="frame,AU1,success\n1,1,1\n")
    rows = [{**row, "success": 0} for row in csv.DictReader(path.open())]
    assert labels(read(tree.write(*rows))) == [(-1,), (1,)]


def test_the_rows_of_only_one_label_file_are_in_memory(tree) -> None:
    header = ",".join(["frame", "AU1", *(f"gaze_{i}" for i in range(300))])
    text = "\n".join([header, *(f"{frame},1" + ",0.123" * 300 for frame in range(1, 16))])
    peaks = []
    for count in (1, 6):
        path = of_videos(tree, **{f"p{i}": text for i in range(count)})
        tracemalloc.start()
        assert len(read(path).subjects) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0]


def test_videos_that_count_from_0_and_from_1_are_refused(tree) -> None:
    path = of_videos(tree, anna="frame,AU1\n1,1\n2,0\n", ben="frame,AU1\n0,1\n1,0\n")
    with pytest.raises(DataError, match=r"the frames of ben\.avi begin with 0, and those of anna\.avi with 1; number"):
        read(path)
    frames = read(path, first_frame=0).sequences
    assert [f.pictures[Modality.VISUAL].frame_index for f in frames["anna", "s"]] == [1, 2]
    with pytest.raises(DataError, match="a frame of a video has the number 0; leave --first-frame out"):
        read(path, first_frame=1)


@pytest.mark.parametrize(
    ("column", "intensity", "says"),
    [
        ("AU01_r", None, "column AU01_r and all other labels are intensities; give --intensity 2 or --intensity keep"),
        ("AU01_c", "keep", "column AU01_c and all other labels are occurrence; leave --intensity out"),
    ],
)
def test_labels_that_would_all_be_ignored_are_refused(tree, column, intensity, says) -> None:
    path = of_videos(tree, anna="frame,AU1\n1,1\n", ben=f"frame,{column}\n1,1\n")
    with pytest.raises(DataError, match=f"ben.csv: {says}"):
        read(path, intensity)


@pytest.mark.parametrize("name", ["f.csv", "f.jsonl", "f.parquet"])
def test_a_table_of_more_than_a_gib_is_not_read(tree, name) -> None:
    with (tree.root / name).open("wb") as file:
        file.truncate((1 << 30) + 1)
    with pytest.raises(DataError, match=f"{name}: is too large for a table"):
        read(tree.root / name)


def test_json_lines_with_keys_of_their_own_need_little_memory(tree) -> None:
    path = tree.root / "f.jsonl"
    path.write_text("\n".join(json.dumps({"subject": "a", "visual": "a.png", f"key{i}": i}) for i in range(20_000)))
    tracemalloc.start()
    with pytest.raises(DataError, match=r"f\.jsonl: has 20002 columns; write the same keys in each line"):
        read(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 26
    tracemalloc.stop()


def test_parquet_with_damaged_text_is_refused(tree) -> None:
    path = tree.root / "f.parquet"
    pd.DataFrame(tree.people()).to_parquet(path, compression=None)
    path.write_bytes(path.read_bytes().replace(b"p1", b"p\xff"))
    with pytest.raises(DataError, match=r"f.parquet: is not Parquet \(.*\); write the file again"):
        read(path)


def test_an_index_of_parquet_may_be_a_column_too(tree) -> None:
    frame = pd.DataFrame(tree.people())
    frame["seen"] = pd.Timestamp("2024-01-01")
    frame.set_index("frame", drop=False).to_parquet(tree.root / "drop.parquet")
    frame.set_index("frame").to_parquet(tree.root / "kept.parquet")
    first, second = (read(tree.root / name) for name in ("drop.parquet", "kept.parquet"))
    assert without_lines(first) == without_lines(second) and first.unused == ["seen"]
    assert [frame.number for frame in first.sequences["p1", "s"]] == [1, 2]
