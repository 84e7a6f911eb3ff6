"""Mutated label files of every reader: refused in one line, or read as a second, plain reader reads them.

The plain readers share no code with those of the package. They fail on a file that is not plainly of its format, so a
reader that accepts such a file fails the test.
"""

from __future__ import annotations

import io
import json
import os
import random
import re
from collections.abc import Callable, Collection, Iterable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest
from factories.mutations import mutate

from aubench.core.errors import AubenchError
from aubench.datasets.bp4d import labels as occurrence
from aubench.datasets.bp4d.labels import read_label_file
from aubench.datasets.disfa.intensities import read_image_intensities, read_intensities
from aubench.datasets.table.manifest import read_manifest
from aubench.datasets.table.table_paths import TablePaths

Labels = dict[Any, Any]
"""Labels by frame."""

MUTATIONS = int(os.environ.get("MUTATIONS", "100"))
"""Damaged files of each format."""

NAMED = [1, 1, 2, 4, 5, 6, 7, *range(9, 21), 22, 23, 24, *range(27, 40)]
UNKNOWN = {"", "-1", "9", "999", "nan", "na", "n/a", "none", "null", "?"}
NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)


class Format(NamedTuple):
    """Label files of a kind.

    Attributes:
        name: Name of the file.
        write: Function that returns the content of a file.
        read: Reader of the package.
        plain: Second reader, of the content.
    """

    name: str
    write: Callable[[random.Random], bytes]
    read: Callable[[Path], Labels]
    plain: Callable[[bytes], Labels]


def text_of(content: bytes) -> str:
    if content[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def lines_of(content: bytes) -> list[str]:
    """Return the lines, without blank ones at the end. Tabs at the end of the last one may be empty cells."""
    return re.split("\r\n|\r|\n", re.sub(r"[\r\n]\s*\Z", "", text_of(content)))


# BP4D and BP4D+


def write_codes(header: list[int]) -> Callable[[random.Random], bytes]:
    def write(rng: random.Random) -> bytes:
        first = rng.randint(1, 99)
        rows = [[first + i, *(rng.choice([0, 1, 9]) for _ in header[1:])] for i in range(rng.randint(1, 4))]
        return "".join(",".join(map(str, row)) + "\n" for row in [header, *rows]).encode()

    return write


def read_codes(path: Path) -> Labels:
    codes = read_label_file(path)
    return dict(zip(codes.frames.tolist(), codes.labels.tolist(), strict=True))


def plain_codes(content: bytes) -> Labels:
    header, *lines = [line.split(",") for line in lines_of(content)]
    aus = [int(re.fullmatch(r"\s*\"*(?:AU)?([0-9]+)\"*\s*", name)[1]) for name in header[1:]]
    assert all(0 < au < 100 for au in aus) and len(set(aus)) == len(aus)
    rows = {}
    for cells in lines:
        assert len(cells) == len(header) and all(re.fullmatch(" *(-(?=[1-9]))?[0-9]+ *", cell) for cell in cells)
        codes = dict(zip(aus, map(int, cells[1:]), strict=True))
        rows[int(cells[0])] = [{0: 0, 1: 1, 9: -1}[codes.get(au, 9)] for au in occurrence.AUS]
    assert len(rows) == len(lines)
    return rows


# DISFA and DISFA+


def write_intensities(rng: random.Random) -> bytes:
    first = rng.randint(0, 1)
    return "".join(f"{first + i},{rng.randint(0, 5)}\n" for i in range(rng.randint(1, 12))).encode()


def plain_intensities(content: bytes) -> Labels:
    rows = [[cell.strip(" \t") for cell in line.split(",")] for line in lines_of(content)]
    assert all(len(row) == 2 and re.fullmatch("[0-9]+", row[0]) and re.fullmatch("0*[0-5]", row[1]) for row in rows)
    numbers = [int(number) for number, _ in rows]
    assert numbers == list(range(numbers[0], numbers[0] + len(rows))) and numbers[0] in {0, 1}
    return dict(zip(numbers, (int(value) for _, value in rows), strict=True))


def write_of_images(rng: random.Random) -> bytes:
    end = rng.choice(["\n", "\r\n"])
    rows = [f"{number:03}.jpg        {rng.randint(0, 5)}" for number in range(rng.randint(1, 12))]
    return end.join(["Image Number        Intensity", "------------        ---------", *rows, ""]).encode()


def plain_of_images(content: bytes) -> Labels:
    rows = [re.split("[ \t]+", line.strip(" \t")) for line in lines_of(content)[2:]]
    assert rows and all(len(row) == 2 and re.fullmatch("0*[0-5]", row[1]) for row in rows)
    numbers = [int(re.fullmatch(r"(?i)(?:\S*[^0-9])?([0-9]+)\.jpe?g", name)[1]) for name, _ in rows]
    assert len(set(numbers)) == len(numbers)
    return {number: int(value) for number, (_, value) in zip(numbers, rows, strict=True)}


# Manifests and the label files that they name


def label(text: str, intensity: str | None) -> int:
    text = {"true": "1", "false": "0"}.get(text.lower(), text)
    if text.lower() in UNKNOWN:
        return -1
    assert NUMBER.fullmatch(text), text
    value = Decimal(text)
    if value in {-1, 9, 999}:
        return -1
    assert value in ({0, 1} if intensity is None else set(range(6)) if intensity == "keep" else {value}), text
    assert 0 <= value <= 5
    return int(value >= int(intensity)) if intensity not in {None, "keep"} else int(value)


def cells_of(text: str, delimiter: str) -> list[list[str]]:
    """Split CSV character by character. A cell may end on a later line, which is no row of its own."""
    rows, at = [[]], 0
    while True:
        while text[at : at + 1] == " ":
            at += 1
        if text[at : at + 1] == '"':
            cell, at = "", at + 1
            while text[at : at + 2] == '""' or text[at : at + 1] != '"':
                assert at < len(text), "a quote that does not end"
                cell, at = cell + text[at], at + (2 if text[at] == '"' else 1)
            at += 1
            assert text[at : at + 1] in {"", "\n", delimiter}
            lines = cell.split("\n")
            assert len(lines) == 1 or all(line.count(delimiter) < 4 for line in lines), "a cell of several rows"
        else:
            end = at + len(re.match(f"[^\n{delimiter}]*", text[at:])[0])
            cell, at = text[at:end], end
        rows[-1].append(cell.strip())
        if at >= len(text):
            return [row for row in rows if any(row)]
        rows += [[]] if text[at] == "\n" else []
        at += 1


ROLES = ("subject", "sequence", "frame", "visual", "labels")


def csv_table(content: bytes, roles: Collection[str] = ROLES) -> list[dict[str, str]]:
    lines = lines_of(content)
    delimiter = max(",;\t", key=next(filter(str.strip, lines), "").count)
    table = cells_of("\n".join(lines), delimiter)
    header, *rows = table
    if all(len(row) == len(header) + 1 and not row[-1] for row in rows):
        rows = [row[:-1] for row in rows]
    assert all(len(row) == len(header) for row in rows) and rows
    names = [re.sub("[ -]+", "_", name.lower()) for name in header]
    used = [name for name in names if name in roles or au_of(name)]
    assert len(set(used)) == len(used)
    return [dict(zip(names, row, strict=True)) for row in rows]


def records_table(records: Iterable[dict[str, Any]]) -> list[dict[str, str]]:
    """Return JSON objects or rows of Parquet as text."""

    def cell(value: Any) -> str:
        if value is None or value != value:
            return ""
        if isinstance(value, bool):
            return str(int(value))
        value = value.decode() if isinstance(value, bytes) else value  # text whose kind is lost in Parquet
        assert isinstance(value, str | int | float)
        return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()

    return [{re.sub("[ -]+", "_", str(k).strip().lower()): cell(v) for k, v in row.items()} for row in records]


def json_table(content: bytes) -> list[dict[str, str]]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name.strip().lower() for name, _ in pairs]
        assert len(set(names)) == len(names)
        return dict(pairs)

    return records_table(json.loads(line, object_pairs_hook=unique) for line in lines_of(content) if line.strip())


def parquet_table(content: bytes) -> list[dict[str, str]]:
    import pyarrow.parquet

    return records_table(pyarrow.parquet.ParquetFile(io.BytesIO(content)).read().to_pylist())


def au_of(name: str) -> tuple[int, str] | None:
    match = re.fullmatch(r"(?:au_?)?0*([1-9][0-9]?)(?:_(c|r|intensity|occurrence|presence))?", name)
    return match and (int(match[1]), {"r": "r", "intensity": "r", None: ""}.get(match[2], "c"))


def labels_of(row: dict[str, str], intensity: str | None) -> dict[int, int]:
    columns = {au: name for name in row if (au := au_of(name))}
    order = ["", "c"] if intensity is None else ["r", ""] if intensity == "keep" else ["r", "", "c"]
    chosen = {au: next((kind for kind in order if (au, kind) in columns), None) for au, _ in columns}
    assert not columns or set(chosen.values()) != {None}
    return {
        au: label(row[columns[au, kind]], None if kind == "c" else intensity)
        for au, kind in chosen.items()
        if kind is not None
    }


def number(text: str) -> int:
    assert NUMBER.fullmatch(text) and Decimal(text) == int(Decimal(text)) >= 0
    return int(Decimal(text))


def frames_of(rows: list[dict[str, str]], intensity: str | None, own: dict[str, str] | None = None) -> Labels:
    """Return labels of each frame of a table, of a manifest or of the label file of a row of it."""
    frames: Labels = {}
    counts: dict[tuple[str, str], int] = {}
    for row in rows:
        of = own or row
        key = of["subject"], of.get("sequence", "stills")
        assert re.fullmatch("[A-Za-z0-9 _.+()-]+", key[0])
        counts[key] = counts.get(key, 0) + 1
        frame = (*key, number(row["frame"]) if "frame" in row else counts[key])
        assert frame not in frames
        lost = own is not None and re.fullmatch(r"[+-]?0+\.?0*|false", row.get("success", "1").lower()) is not None
        frames[frame] = {} if lost else labels_of(row, intensity)
    return frames


def read_frames(intensity: str | None) -> Callable[[Path], Labels]:
    def read(path: Path) -> Labels:
        path = path.with_name("video.csv") if path.name == "labels.csv" else path
        manifest = read_manifest(path, TablePaths(path.parent.resolve(), False), intensity, None)
        return {
            (*key, frame.number): dict(zip(manifest.aus, frame.labels, strict=True))
            for key, frames in manifest.sequences.items()
            for frame in frames
        }

    return read


VALUES = {None: ["0", "1", "-1", "9", "", "1.0"], "2": ["0", "1.30", "2", "5", "-1", ""], "keep": [*"012345", ""]}


def rows_of(rng: random.Random, intensity: str | None) -> list[dict[str, str]]:
    return [
        {
            "subject": f"p{person}",
            "sequence": "s",
            "frame": str(frame),
            "visual": f"{person}{frame}.png",
            "remark": rng.choice(["", "good", 'a "bad" one', "x, y", "seen; twice"]),
            "AU1": rng.choice(VALUES[intensity]),
            "AU12": rng.choice(VALUES[intensity]),
        }
        for person in range(1, 4)
        for frame in range(1, 3)
    ]


def write_csv(intensity: str | None) -> Callable[[random.Random], bytes]:
    def write(rng: random.Random) -> bytes:
        rows, delimiter, end = rows_of(rng, intensity), rng.choice(",,;\t"), rng.choice(["", "", ","])
        text = pd.DataFrame(rows).to_csv(index=False, sep=delimiter, lineterminator="\n")
        header, *lines = text.splitlines()
        return "\n".join([header, *(line + (delimiter if end else "") for line in lines), ""]).encode()

    return write


def write_json(rng: random.Random) -> bytes:
    rows = [
        {**row, "frame": int(row["frame"]), "AU1": rng.choice([0, 1, None, 1.0, True])} for row in rows_of(rng, None)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def write_parquet(rng: random.Random) -> bytes:
    rows = [{**row, "frame": int(row["frame"]), "AU1": rng.choice([0.0, 1.0, None])} for row in rows_of(rng, None)]
    file = io.BytesIO()
    pd.DataFrame(rows).to_parquet(file, index=False, compression=rng.choice(["snappy", None]))
    return file.getvalue()


def write_openface(rng: random.Random) -> bytes:
    header = "frame, face_id, timestamp, confidence, success, AU01_r, AU12_r, AU01_c, AU12_c"
    rows = []
    for i in range(rng.randint(1, 5)):
        success, first, second = rng.choice([0, 1, 1, 1]), rng.randint(0, 1), rng.randint(0, 1)
        rows.append(f"{i + 1}, 0, 0.{i}, 0.98, {success}, 1.30, 2.40, {first}.00, {second}.00")
    return "\r\n".join([header, *rows, ""]).encode()


def plain_openface(content: bytes) -> Labels:
    rows = csv_table(content, ("frame", "success"))
    assert all("frame" in row for row in rows)
    return frames_of(rows, None, {"subject": "p1", "sequence": "a"})


FORMATS = {
    "BP4D": Format("F001_T1.csv", write_codes(list(range(100))), read_codes, plain_codes),
    "BP4D+": Format("F001_T1.csv", write_codes(NAMED), read_codes, plain_codes),
    "DISFA": Format(
        "SN001_au1.txt",
        write_intensities,
        lambda path: dict(enumerate((x := read_intensities(path)).values.tolist(), x.first)),
        plain_intensities,
    ),
    "DISFA+": Format("AU1.txt", write_of_images, read_image_intensities, plain_of_images),
    **{
        f"CSV {intensity or 'occurrence'}": Format(
            "frames.csv",
            write_csv(intensity),
            read_frames(intensity),
            lambda content, intensity=intensity: frames_of(csv_table(content), intensity),
        )
        for intensity in (None, "2", "keep")
    },
    "JSON Lines": Format("frames.jsonl", write_json, read_frames(None), lambda c: frames_of(json_table(c), None)),
    "Parquet": Format("frames.parquet", write_parquet, read_frames(None), lambda c: frames_of(parquet_table(c), None)),
    "OpenFace": Format("labels.csv", write_openface, read_frames(None), plain_openface),
}


def known(labels: Labels) -> Labels:
    """Leave out unknown labels of AUs, as tables have AUs that others lack."""
    return {
        frame: {au: x for au, x in of.items() if x >= 0} if isinstance(of, dict) else of for frame, of in labels.items()
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in [f"{person}{frame}.png" for person in range(1, 4) for frame in range(1, 3)] + ["a.avi"]:
        (tmp_path / name).touch()
    (tmp_path / "video.csv").write_text("subject,visual,labels\np1,a.avi,labels.csv\n")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_a_mutated_file_is_refused_or_read_as_it_stands(folder: Path, name: str) -> None:
    form, rng, accepted = FORMATS[name], random.Random(0), 0
    path = folder / form.name
    for attempt in range(MUTATIONS):
        whole = form.write(rng)
        content = mutate(whole, rng) if attempt else whole
        path.write_bytes(content)
        try:
            labels = form.read(path)
        except AubenchError as error:
            assert attempt and "\n" not in str(error) and len(str(error)) < 1000, content
            continue
        accepted += 1
        try:
            expected = form.plain(content)
        except (AssertionError, TypeError, ValueError, KeyError, InvalidOperation) as error:
            raise AssertionError(f"accepted, but not plain: {content!r}") from error
        assert known(labels) == known(expected), content
    print(f"{name}: {accepted} of {MUTATIONS} accepted")
    assert MUTATIONS / 50 < accepted < MUTATIONS * 0.8
