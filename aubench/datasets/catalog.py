"""Datasets by name: opens a store, and makes the one that needs no licence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from aubench.core.errors import DataError
from aubench.data.store import Store, default_root
from aubench.datasets.bp4d import prepare
from aubench.datasets.synth import synth_dataset as synth

VERSIONS = {"bp4d": prepare.VERSION, "synth": synth.VERSION}
"""The version of each dataset's stores that this code reads."""


def open_store(dataset: str, path: Path | None, progress: Callable[[int, int], None]) -> Store:
    """Open a dataset's store and prove it; ``synth`` is made where it is missing.

    Args:
        dataset: Its name.
        path: The store's folder; the default place when None.
        progress: Called with sequences done and sequences in all while ``synth`` is made.

    Raises:
        DataError: There is no store, it was made by another version, or a file in it has changed.
    """
    place = path or default_root() / dataset
    if dataset == "synth" and not (place / "store.json").exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(place.with_name(place.name + ".lock")):
            if not (place / "store.json").exists():
                synth.generate(place, synth.SynthSettings(), progress)
    if not (place / "store.json").exists():
        make = f"aubench data prepare {dataset} --source DIR" + (f" --store {path}" if path else "")
        raise DataError(f"no store of {dataset} here", where=place, hint=f"make one with `{make}`")
    store = Store(place)
    wanted = VERSIONS.get(dataset, store.info.version)
    if store.info.dataset == dataset and store.info.version != wanted:
        raise DataError(
            f"was made by version {store.info.version} of the reader, this is {wanted}",
            where=place,
            hint="delete the store and make it again with `aubench data prepare`",
        )
    store.verify(full=False)
    return store
