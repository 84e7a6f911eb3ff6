"""Manifest of Bosphorus, whose file names state the AUs: `python bosphorus.py DIR` writes `DIR/frames.csv`.

`DIR/bs000/bs000_LFAU_12LW_0.png` is a scan of subject bs000 that shows AU12. A depth image of it, converted from the
range image beforehand, is `DIR/bs000/bs000_LFAU_12LW_0_depth.png`.
"""

import re
import sys
from pathlib import Path

import pandas as pd

AUS = (1, 2, 4, 9, 10, 12, 14, 15, 17, 20, 23, 24, 25, 26, 27, 28, 43)
NAME = re.compile(r"(?P<subject>bs\d+)_(?P<kind>LFAU|UFAU|CAU|N)_(?P<code>.+)_\d+")


def rows(folder: Path) -> list[dict[str, object]]:
    """Return one row for each neutral scan and each scan of AUs; other scans have no AU codes."""
    table = []
    for path in sorted(folder.glob("bs*/*.png")):
        if match := NAME.fullmatch(path.stem):
            shown = {int(number) for number in re.findall(r"\d+", match["code"])}
            depth = path.with_name(f"{path.stem}_depth.png")
            images = {
                "visual": path.relative_to(folder).as_posix(),
                "depth": depth.relative_to(folder).as_posix() if depth.exists() else "",
            }
            labels = {f"AU{au}": int(au in shown) for au in AUS}
            table.append({"subject": match["subject"], **images, **labels})
    return table


if __name__ == "__main__":
    pd.DataFrame(rows(Path(sys.argv[1]))).to_csv(Path(sys.argv[1], "frames.csv"), index=False)
