"""A data set of face images in a folder: `<subject>/<sequence>/<number>.png` and `labels.csv`."""

from functools import partial

import cv2
import numpy as np
import pandas as pd
from pydantic import Field

from aubench.core.errors import DataError
from aubench.core.task import Modality
from aubench.data.store_writer import Sequence
from aubench.datasets.base import Dataset, DatasetOptions


class FolderOptions(DatasetOptions):
    """Options of `aubench data prepare folder`, next to `--source` and `--store`."""

    grey: bool = Field(False, description="Convert images to grey.")


class FolderDataset(Dataset):
    """Reader of the folder; `labels.csv` has the columns subject, sequence, frame, AU6 and AU12."""

    name, version, title = "folder", "1", "Folder of face images"
    modalities = {Modality.VISUAL: "RGB"}  # noqa: RUF012
    aus = (6, 12)
    crop = "as in the folder"
    Options = FolderOptions

    def sequences(self, source, options):
        """Return a function for each sequence that reads it."""
        labels = pd.read_csv(source / "labels.csv", dtype={"subject": str, "sequence": str})
        return {key: partial(self.read, source, rows, options) for key, rows in labels.groupby(["subject", "sequence"])}

    def read(self, source, rows, options):
        """Read one sequence."""
        subject, sequence = rows[["subject", "sequence"]].iloc[0]
        files = [source / subject / sequence / f"{frame}.png" for frame in rows["frame"]]
        images = np.stack([read_image(path, options) for path in files])
        frames = rows[["frame", "AU6", "AU12"]].assign(source=[path.name for path in files], labelled=True, missing="")
        return Sequence(subject, sequence, {Modality.VISUAL: images}, frames)


def read_image(path, options):
    """Read and resize an image."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise DataError("cannot be decoded", where=path, hint="replace the file")
    image = cv2.resize(image, (options.size, options.size), interpolation=cv2.INTER_AREA)
    return np.broadcast_to(image.mean(axis=2, keepdims=True), image.shape).astype(np.uint8) if options.grey else image


FOLDER = FolderDataset()
