"""The labelled frames of a store as a data set of PyTorch."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset


class StoreDataset(Dataset):  # type: ignore[type-arg]
    """Images as uint8 (C, H, W) by modality, and labels (A): 1, 0 or -1 for unknown, of each labelled frame."""

    def __init__(self, store: str, modalities: tuple[str, ...] = ("visual",)) -> None:
        self.arrays, self.modalities = Path(store, "arrays"), modalities
        self.frames = pd.read_parquet(Path(store, "frames.parquet")).query("labelled").reset_index(drop=True)
        self.labels = torch.tensor(self.frames.filter(regex=r"^AU\d+$").to_numpy("int64"))

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        subject, sequence, row = self.frames.loc[index, ["subject", "sequence", "row"]]
        files = {m: self.arrays / subject / f"{sequence}.{m}.npy" for m in self.modalities}
        images = {m: np.load(file, mmap_mode="r")[row].transpose(2, 0, 1).copy() for m, file in files.items()}
        return {m: torch.from_numpy(image) for m, image in images.items()}, self.labels[index]
