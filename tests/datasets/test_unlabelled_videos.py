"""Folders of videos without labels: names, faces, and videos that are left out."""

import re
from collections.abc import Iterator

import numpy as np
import pytest
from factories.disfa import draw_frames
from factories.videos import write_video

from aubench.core.errors import DataError
from aubench.core.task import Modality
from aubench.data.store import Store
from aubench.datasets.unlabelled.unlabelled_videos import find_videos
from aubench.datasets.unlabelled.video_dataset import VIDEO
from aubench.faces.video_files import Video, VideoFrame


@pytest.fixture
def videos(tmp_path):
    """Write a video of a person, one of another, and one without a folder."""
    root = tmp_path / "videos"
    write_video(root / "anna/day 1/a_b.avi", draw_frames(4, 0))
    write_video(root / "anna/c.mp4", draw_frames(3, 40), "mp4v")
    write_video(root / "Léo.avi", draw_frames(3, 80))
    (root / "anna/notes.txt").write_text("x")
    return root


@pytest.fixture
def prepare(call, videos, tmp_path, one_worker):
    words = ("data", "prepare", "video", "--source", videos, "--store", tmp_path / "store", "--size", 32)
    return lambda *more: call(*words, *more)


def test_every_video_is_a_sequence_without_labels(prepare, tmp_path) -> None:
    answer = prepare()
    assert answer.code == 0, answer
    assert "labelled 0" in [" ".join(line.split()) for line in answer.out.splitlines()]
    store = Store(tmp_path / "store")
    store.verify(full=True)
    assert store.aus == () and not store.frames["labelled"].any()
    counts = store.frames.groupby(["subject", "sequence", "source"])["frame"].apply(list).to_dict()
    assert counts == {
        ("L-o", "video", "Léo.avi"): [1, 2, 3],
        ("anna", "c", "anna/c.mp4"): [1, 2, 3],
        ("anna", "day-1-a-b", "anna/day 1/a_b.avi"): [1, 2, 3, 4],
    }
    light = store.read(Modality.VISUAL, store.frames.index[store.frames["sequence"] == "day-1-a-b"])
    assert np.allclose(np.diff(light.mean(axis=(1, 2, 3))), 6, atol=2)


@pytest.mark.slow
def test_frames_far_from_any_face_are_left_out(prepare, videos, tmp_path) -> None:
    empty = np.full((278, 208, 3), 60, np.uint8)
    write_video(videos / "Léo.avi", [empty] * 30 + [*draw_frames(3, 80)] + [empty] * 27)
    write_video(videos / "anna/c.mp4", [empty] * 3, "mp4v")
    assert prepare().code == 0
    store = Store(tmp_path / "store")
    frames = store.frames[store.frames["subject"] == "L-o"]
    # The middle of the 30, and the end of the 27: the face is seen in frames 31 to 33.
    assert frames["frame"].tolist()[0] == 6 and frames["frame"].tolist()[-1] == 58
    lines = (store.path / "skipped.csv").read_text().splitlines()
    assert "L-o,video,-1,frames 1 to 5: no face within a second" in lines
    assert "L-o,video,-1,frames 59 to 60: no face within a second" in lines
    assert "anna,c,-1,frames 1 to 3: no face within a second" in lines
    assert "c" not in set(store.frames["sequence"])


@pytest.mark.parametrize("name", ["aaa", "zzz"])
def test_a_linked_folder_has_its_own_name(videos, name) -> None:
    """Pre-training leaves out people by their names."""
    (videos / name).symlink_to("anna")
    assert {video.subject for video in find_videos(videos)[0]} == {"anna", "L-o"}


@pytest.mark.parametrize("name", ["aaa", "zzz"])
def test_a_video_of_two_people_is_refused(videos, name) -> None:
    (videos / name).mkdir()
    (videos / name / "b.mp4").symlink_to("../anna/c.mp4")
    with pytest.raises(DataError, match=r"is the same file as (anna/c|.../b)\.mp4; keep one of the two"):
        find_videos(videos)


def test_damaged_videos_are_listed(prepare, videos, tmp_path) -> None:
    (videos / "anna/c.mp4").write_bytes(b"no video")
    video = write_video(videos / "Léo.avi", draw_frames(8, 80))
    video.write_bytes(video.read_bytes()[: int(0.8 * video.stat().st_size)])
    assert prepare().code == 0
    lines = (tmp_path / "store/skipped.csv").read_text()
    assert 'anna,c,-1,"is damaged or not a video, or OpenCV has no decoder for its codec"' in lines
    assert "L-o,video,-1,is cut short: 6 of 8 frames can be decoded" in lines
    assert set(Store(tmp_path / "store").frames["sequence"]) == {"day-1-a-b", "video"}


def test_videos_of_other_kinds_are_listed(videos) -> None:
    for name in ("ben/1.MTS", "anna/2.mts", "cara.mpeg"):
        (videos / name).parent.mkdir(exist_ok=True)
        (videos / name).touch()
    work = VIDEO.find(videos, VIDEO.Options())
    assert len(work.jobs) == 3
    assert work.skipped == [
        ("", "", -1, "1 files like cara.mpeg: .mpeg is not read, convert them"),
        ("", "", -1, "2 files like anna/2.mts: .mts is not read, convert them"),
    ]


def test_a_damaged_frame_that_ends_a_video_is_listed(prepare, videos) -> None:
    video = write_video(videos / "Léo.avi", draw_frames(12, 80))
    content = bytearray(video.read_bytes())
    start = [match.end() for match in re.finditer(b"00dc", content)][4]
    size = int.from_bytes(content[start : start + 4], "little")
    content[start + 4 : start + 4 + size] = bytes(size)
    video.write_bytes(content)
    answer = prepare()
    assert answer.code == 0, answer
    says = r"^- L-o video the header of the video states 12 frames, \d+ can be decoded"
    assert re.search(says, answer.out, re.MULTILINE), answer.out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lost", "says"),
    [
        ((2, 3, 9, 19, 29, 39), ": some are missing after frame 2, 7, 16 and 2 others"),
        (range(1, 60, 2), ""),  # a variable rate
        (range(55, 60), ""),
    ],
)
def test_fewer_frames_than_the_header_states_are_listed(prepare, videos, tmp_path, monkeypatch, lost, says) -> None:
    write_video(videos / "Léo.avi", [*draw_frames(20, 80)] * 3)
    every = Video.frames

    def damaged(self: Video) -> Iterator[VideoFrame]:
        return (frame for i, frame in enumerate(every(self)) if self.stated_frames < 60 or i not in lost)

    monkeypatch.setattr(Video, "frames", damaged)
    answer = prepare()
    assert answer.code == 0, answer
    count = 60 - len(lost)
    what = f"the header of the video states 60 frames, {count} can be decoded{says}"
    assert f"- L-o video {what}" in answer.out.splitlines()
    assert (tmp_path / "store/skipped.csv").read_text().splitlines()[1:] == [f'L-o,video,-1,"{what}"']
    assert len(Store(tmp_path / "store").frames) == 4 + 3 + count


def test_people_may_have_numbers_for_names(prepare, videos) -> None:
    (videos / "anna").rename(videos / "001")
    (videos / "002").mkdir()
    (videos / "002/1.avi").touch()
    answer = prepare()
    assert answer.code == 0 and "- 002 1 is empty" in answer.out.splitlines(), answer


def test_folders_without_usable_videos_are_one_line(prepare, videos) -> None:
    for path in [*videos.rglob("*.avi"), *videos.rglob("*.mp4")]:
        path.write_bytes(b"no video")
    answer = prepare()
    assert answer.code == 2 and "videos: no video in it can be decoded: is damaged" in answer.err
    for path in [*videos.rglob("*.avi"), *videos.rglob("*.mp4")]:
        path.unlink()
    answer = prepare()
    assert answer.code == 2 and "videos: no video in it; known extensions are .avi, .m4v" in answer.err


@pytest.mark.parametrize("path", [f"{'a' * 201}/b.avi", f"anna/{'b' * 150}/{'c' * 60}.avi"])
def test_a_name_that_is_too_long_for_a_store_is_refused_at_once(tmp_path, path) -> None:
    video = tmp_path / path
    video.parent.mkdir(parents=True)
    video.touch()
    with pytest.raises(DataError, match=r"has a name of 2[01]1 letters in the store, .*, and 200 are possible; rename"):
        find_videos(tmp_path)


def test_two_videos_of_one_name_are_refused(videos) -> None:
    write_video(videos / "anna/day-1/a b.avi", draw_frames(1, 0))
    with pytest.raises(DataError, match=r"has the name anna day-1-a-b in the store, as anna/day.1/a.b\.avi; rename"):
        find_videos(videos)


@pytest.mark.parametrize(("first", "second", "name"), [("P_01", "P-01", "P-01"), ("张三", "李四", "x")])
def test_two_people_of_one_name_are_refused(tmp_path, first, second, name) -> None:
    for folder in (first, second):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{len(folder)}{folder[-1] == '1'}{folder == first}.avi").touch()
    with pytest.raises(DataError, match=f"has the name {name} in the store, as .* has; rename one of the two"):
        find_videos(tmp_path)
