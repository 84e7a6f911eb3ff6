"""Registry of data sets, and functions that prepare and open stores by name."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aubench.core.errors import DataError, UsageError, suggest
from aubench.core.plugins import Registry, suggest_plugin
from aubench.core.user_paths import user_path, user_paths
from aubench.data.store_files import is_store
from aubench.datasets.base import Dataset, Progress

if TYPE_CHECKING:
    from aubench.data.store import Store

Stores = str | Path | Sequence[str | Path] | Mapping[str, str | Path] | None
"""Folders of stores: one, several, or None for the default folders; see :func:`find_stores`."""

DATASETS: Registry[Dataset] = Registry(
    "data set",
    Dataset,  # type: ignore[type-abstract]
    "aubench.datasets",
    {
        "bp4d": "aubench.datasets.bp4d.bp4d_dataset:BP4D",
        "bp4dplus": "aubench.datasets.bp4dplus.bp4dplus_dataset:BP4DPLUS",
        "disfa": "aubench.datasets.disfa.disfa_dataset:DISFA",
        "disfaplus": "aubench.datasets.disfa.disfaplus_dataset:DISFAPLUS",
        "synth": "aubench.datasets.synth.synth_dataset:SYNTH",
        "table": "aubench.datasets.table.table_dataset:TABLE",
        "video": "aubench.datasets.unlabelled.video_dataset:VIDEO",
    },
)


def prepare_store(
    name: str, source: Path | None, path: Path | None, options: Mapping[str, object], progress: Progress
) -> list[str]:
    """Convert a data set into a store.

    Args:
        name: Name of the data set.
        source: Folder of the delivered files; None if the data set needs none.
        path: Folder of the new store; the default one if None.
        options: Fields of the data set's ``Options``.
        progress: Called with the amounts of work done and of all work.

    Returns:
        Summary, one string per line.

    Raises:
        UsageError: The data set does not exist, or an option is not valid.
        DataError: A store exists already, a partial one has other options, or a file is damaged.
    """
    from aubench.data.store import Store

    dataset = DATASETS.get(name)
    values = dataset.Options(**options)
    if lines := dataset.preview(source, values):
        return lines
    path = path or _default_path(dataset.store_name(values))
    dataset.prepare(source, path, values, progress)
    return dataset.summarize(Store(path))


def check_store(name: str, path: Path | None, progress: Progress) -> str:
    """Compare every file of a store with its digest.

    Returns:
        Summary in one line.

    Raises:
        UsageError: There is neither a store nor a data set of this name.
        DataError: There is no store, it is of another data set or version, or a file is missing or differs.
    """
    from aubench.data.store import Store

    store = Store(require_store(name, path))
    if store.info.dataset != name:
        hint = "name its data set, or another --store"
        raise DataError(f"is a store of {store.info.dataset}, not of {name}", where=store.path, hint=hint)
    _check_version(store)
    store.verify(full=True, progress=progress)
    return "\n".join(
        [f"{store.path}: intact, {len(store.frames)} frames, digest {store.info.digest}", *crop_lines(store)]
    )


def open_any_store(name: str | os.PathLike[str]) -> Store:
    """Open a store of any data set and verify it.

    Args:
        name: Folder of the store, or name of a data set whose store is in the default folder.

    Raises:
        UsageError: There is neither a store nor a data set of this name.
        DataError: There is no store, another version wrote it, or it is damaged.
    """
    from aubench.data.store import Store

    given = user_path(name)
    name = os.fspath(name)
    store = Store(given if is_store(given) or "/" in name else require_store(name))
    _check_version(store)
    store.verify(full=False)
    return store


def require_store(name: str, path: Path | None = None) -> Path:
    """Return the folder of a data set's store, the default one if None.

    Raises:
        UsageError: There is neither a store nor a data set of this name.
        DataError: There is no store.
    """
    folder = path or _default_path(name)
    if not is_store(folder):
        raise _no_store(name, folder, path)
    return folder


def _no_store(name: str, folder: Path, given: Path | None) -> UsageError | DataError:
    if name not in DATASETS.names():
        hint = f"{suggest_plugin(name, DATASETS.names())}, or make one with `aubench data prepare table --name {name}`"
        return UsageError(f"no store of {name} here, and no data set of this name", where=folder, hint=hint)
    dataset = DATASETS.get(name)
    source = " {} {}".format(*dataset.source_option) if dataset.needs_source else ""
    command = f"aubench data prepare {name}{source}" + (f" --store {given}" if given else "")
    return DataError(f"no store of {name} here", where=folder, hint=f"make one with `{command}`")


def crop_lines(store: Store) -> list[str]:
    """Return the frames whose crops are least certain, one line each."""
    from aubench.data.store import UNCERTAIN_CROP

    worst = store.frames.loc[store.worst_crops(_LISTED)].to_dict("records")
    line = "crop of {subject} {sequence} frame {frame}: score {crop_score} of 100, from {crop_source}"
    return [line.format_map(frame) for frame in worst if frame["crop_score"] < UNCERTAIN_CROP]


_LISTED = 5


def open_store(name: str, path: Path | None, progress: Progress) -> Store:
    """Open a data set's store and verify it; prepare it if that needs no source.

    Args:
        name: Name of the data set.
        path: Folder of the store; the default one if None.
        progress: Called with the amounts of work done and of all work while the store is prepared.

    Raises:
        UsageError: There is neither a store nor a data set of this name.
        DataError: There is no store, another version wrote it, or a file in it has changed.
    """
    from aubench._util.progress import print_line
    from aubench.data.store import Store

    folder = path or _default_path(name)
    if not is_store(folder):
        dataset = DATASETS.get(name) if name in DATASETS.names() else None
        if dataset is None or dataset.needs_source:
            raise _no_store(name, folder, path)
        if path is not None:  # the name may be mistyped
            print_line(f"aubench: no store of {name} in {folder}, so it is generated there")
        _generate(dataset, folder, progress)
    store = Store(folder)
    if store.info.dataset == name:
        _check_version(store)
    store.verify(full=False)
    return store


def find_stores(datasets: Sequence[str], given: Stores) -> dict[str, Path]:
    """Return the folder of the store of each data set, which may not exist.

    Args:
        datasets: Names of the data sets.
        given: Folders of stores, or None: ``DIR``, or ``NAME=DIR`` with the name of a data set. Of several data sets, a
            folder without a name is that of the data set of its store. The others have their default folders. A
            mapping has the folders by the names of their data sets.

    Raises:
        UsageError: A folder is of none of the data sets, or a data set has two.
        DataError: A folder without a name has no store, and there are several data sets.
    """
    return {name: path or _default_path(name) for name, path in _assign(datasets, given).items()}


def _assign(datasets: Sequence[str], given: Stores) -> dict[str, Path | None]:
    if isinstance(given, Mapping):
        for name in given:
            _check_dataset(name, datasets)
        return {name: user_path(given[name]) if name in given else None for name in datasets}
    folders: dict[str, Path] = {}
    for item in () if given is None else user_paths(given):
        name, path = _named_folder(str(item), datasets)
        if name in folders:
            raise UsageError(f"gives two stores of {name}", where="--store", hint="give one for each data set")
        folders[name] = path
    return {name: folders.get(name) for name in datasets}


def _named_folder(text: str, datasets: Sequence[str]) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    if equals and name in datasets:
        return name, user_path(folder)
    if equals and "/" not in name and not user_path(text).exists():
        _check_dataset(name, datasets)
    if len(datasets) == 1:
        return datasets[0], user_path(text)
    from aubench.data.store_format import read_info

    found = read_info(user_path(text)).dataset
    if found not in datasets:
        what = f"is a store of {found}, and the protocol is on {' and '.join(datasets)}"
        raise UsageError(what, where=user_path(text), hint="give a store of each data set with --store")
    return found, user_path(text)


def _check_dataset(name: str, datasets: Sequence[str]) -> None:
    if name not in datasets:
        raise UsageError(f"'{name}' is no data set of the protocol", where="--store", hint=suggest(name, datasets))


def open_stores(datasets: Sequence[str], given: Stores, progress: Progress) -> Store:
    """Open the store of each data set as :func:`open_store`, and join them if there are several.

    Args:
        datasets: Names of the data sets.
        given: Folders, as in :func:`find_stores`.
        progress: Callback, as in :func:`open_store`.

    Raises:
        UsageError: As :func:`find_stores` and :func:`open_store`.
        DataError: As :func:`open_store`, or the stores do not fit each other.
    """
    from aubench.data.joined_store import joined

    stores = [open_store(name, path, progress) for name, path in _assign(datasets, given).items()]
    for name, store in zip(datasets, stores, strict=True):
        if len(stores) > 1 and store.info.dataset != name:
            raise DataError(f"is a store of {store.info.dataset}, not of {name}", where=store.path)
    return joined(stores)


def _check_version(store: Store) -> None:
    if store.info.dataset not in DATASETS.names():
        return
    from aubench.data.store_format import REMAKE_HINT

    version = DATASETS.get(store.info.dataset).version
    if store.info.version != version:
        what = f"was made by version {store.info.version} of the reader, this is {version}"
        raise DataError(what, where=store.path, hint=REMAKE_HINT)


def _generate(dataset: Dataset, folder: Path, progress: Progress) -> None:
    """Prepare a store with the default options, or wait until another process has done so."""
    from aubench._util import locks
    from aubench.data.partial_store import lock_path
    from aubench.data.store_writer import StoreBusyError

    while not is_store(folder):
        try:
            dataset.prepare(None, folder, dataset.Options(), progress)
        except StoreBusyError:
            with locks.exclusive(lock_path(folder)):
                pass
        except DataError:
            if not is_store(folder):  # otherwise another process has finished it just now
                raise


def _default_path(name: str) -> Path:
    """Return the default folder of a store.

    Raises:
        UsageError: The name, from Python, is no text.
    """
    from aubench._util.paths import default_root

    if not isinstance(name, str):
        raise UsageError(f"no data set '{name}'", hint=suggest(name, DATASETS.names()))
    return default_root() / name
