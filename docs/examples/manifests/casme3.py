"""Manifest of clips with one AU code each, as in CAS(ME)³ part A: `python casme3.py DIR` writes `DIR/frames.csv`.

`DIR/labels.csv` is the sheet of labels, saved as CSV, with the columns Subject, Filename, Onset, Apex, Offset and AU.
A clip is the folder `DIR/frame/<subject>/<file name>_<onset>`, its depth the same folder in `DIR/depth`. All frames
from onset to offset get the AUs of the clip.
"""

import re
import sys
from pathlib import Path

import pandas as pd

AUS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 18, 20, 23, 24, 25)
ACTION = re.compile(r"[LR]?(\d+)[A-E]?")


def labels(text: str) -> dict[str, int]:
    """Return the label of each AU of a code such as `4+L10`.

    Both AUs of `R14A or 17A` are unknown, and all AUs of a clip without a code.
    """
    values = dict.fromkeys(AUS, 0 if ACTION.search(text) else -1)
    for term in text.split("+"):
        choices = [int(number) for number in ACTION.findall(term)]
        values.update(dict.fromkeys(choices, 1 if len(choices) == 1 else -1))
    return {f"AU{au}": values[au] for au in AUS}


def rows(folder: Path) -> list[dict[str, object]]:
    """Return one row for each frame of a clip, and print the clips without limits or without an image."""
    spelt = {kind: {path.name.lower(): path.name for path in (folder / kind).glob("*")} for kind in ("frame", "depth")}
    table = []
    for clip in pd.read_csv(folder / "labels.csv", dtype=str, keep_default_na=False).to_dict("records"):
        subject, sequence, before = clip["Subject"], f"{clip['Filename']}_{clip['Onset']}", len(table)
        if not (clip["Onset"].isdigit() and clip["Offset"].isdigit()):
            print(f"onset or offset of {subject} {clip['Filename']} is no number: skipped", file=sys.stderr)
            continue
        visual, depth = (Path(kind, names.get(subject.lower(), subject), sequence) for kind, names in spelt.items())
        for number in range(int(clip["Onset"]), int(clip["Offset"]) + 1):
            files = {"visual": visual / f"{number}.jpg", "depth": depth / f"{number}.png"}
            images = {m: file.as_posix() if (folder / file).exists() else "" for m, file in files.items()}
            if any(images.values()):
                names = {"subject": visual.parts[1], "sequence": sequence, "frame": number}  # spNO.1 is also spNo.1
                table.append({**names, **images, **labels(clip["AU"])})
        if len(table) == before:
            print(f"no image of {subject} {sequence}: expected {visual}", file=sys.stderr)
    return table


if __name__ == "__main__":
    pd.DataFrame(rows(Path(sys.argv[1]))).to_csv(Path(sys.argv[1], "frames.csv"), index=False)
