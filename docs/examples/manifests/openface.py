"""Manifest of videos with label files of OpenFace: `python openface.py DIR` writes `DIR/frames.csv`.

`DIR/videos/<subject>_<session>.mp4` has the label file `DIR/openface/<subject>_<session>.csv`.
"""

import sys
from pathlib import Path

import pandas as pd


def rows(folder: Path) -> list[dict[str, str]]:
    """Return one row for each video."""
    return [
        {
            "subject": video.stem.partition("_")[0],
            "sequence": video.stem.partition("_")[2],
            "visual": f"videos/{video.name}",
            "labels": f"openface/{video.stem}.csv",
        }
        for video in sorted((folder / "videos").glob("[!.]*"))
    ]


if __name__ == "__main__":
    pd.DataFrame(rows(Path(sys.argv[1]))).to_csv(Path(sys.argv[1], "frames.csv"), index=False)
