"""Manifest of videos with a label file each and a fixed split, as in GFT: `python fixed_split.py DIR`.

`DIR/videos/<subject>.mp4` has the label file `DIR/labels/<subject>.csv` with a column `frame` and one column per AU.
`DIR/train.txt` and `DIR/test.txt` list the subjects.
"""

import sys
from pathlib import Path

import pandas as pd


def rows(folder: Path) -> list[dict[str, str]]:
    """Return one row for each subject of the lists."""
    return [
        {
            "subject": subject,
            "visual": f"videos/{subject}.mp4",
            "labels": f"labels/{subject}.csv",
            "split": role,
        }
        for role in ("train", "test")
        for subject in (folder / f"{role}.txt").read_text().split()
    ]


if __name__ == "__main__":
    pd.DataFrame(rows(Path(sys.argv[1]))).to_csv(Path(sys.argv[1], "frames.csv"), index=False)
